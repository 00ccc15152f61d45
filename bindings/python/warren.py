# SPDX-License-Identifier: Apache-2.0
"""libpeer for Python, with ctypes alone: reach another machine by its ID over a direct, encrypted link.

    import warren
    with warren.Peer("/var/lib/me", capabilities=["echo"]) as peer:
        for event in peer.events():
            if event.type == warren.JOINED: link = peer.dial("456 000", ["echo"])
            elif event.type == warren.LINK_UP: stream = link.open("echo"); stream.write(b"hello"); stream.finish()
            elif event.type == warren.READABLE: print(event.stream.read())

The names are those of peer.h, which says what each call does; libpeer(3) is the manual. One thread at a time uses a peer. A link is of
no more use after its LINK_DOWN, a stream after its STREAM_CLOSED: using one then raises ValueError.
"""
import ctypes
import ctypes.util
import os
import select
import socket
from ctypes import POINTER, Structure, byref, c_bool, c_char, c_char_p, c_int, c_size_t, c_uint, c_uint64, c_void_p

_EVENTS = ("JOINED ONLINE OFFLINE FAILED INCOMING RINGING LINK_UP LINK_DOWN PATH STREAM READABLE WRITABLE STREAM_CLOSED DATAGRAM REFUSED ALARM "
           "RESULT REGISTRATION INVOCATION INTERRUPTED SUBSCRIPTION MESSAGE PUBLISHED WAITING REKEYED NAMES CLONED NAME_MOVED SAS CLOCK FINDING EXAMINED").split()
globals().update({name: number for number, name in enumerate(_EVENTS, 1)})


class _Error(Structure):
    _fields_ = [("name", c_char * 32), ("text", c_char * 320), ("remedy", c_char * 160)]


class Error(Exception):
    """What failed: `name` is stable ("not_reachable"), `text` says what exactly, `remedy` what to do about it."""

    def __init__(self, error):
        self.name, self.text, self.remedy = (getattr(error, part).decode("utf-8", "replace") for part in ("name", "text", "remedy"))
        super().__init__(f"{self.name}: {self.text}")


class _Config(Structure):
    _fields_ = [("size", c_size_t), ("state_dir", c_char_p), ("join", c_char_p), ("capabilities", POINTER(c_char_p)), ("allow_loopback", c_bool),
                ("passphrase", c_char_p)]


class _Identity(Structure):
    _fields_ = [("id", c_char * 16), ("network", c_char * 201), ("public_key", c_char * 65), ("fingerprint", c_char * 65),
                ("subject", c_char * 256), ("issuer", c_char * 256), ("names", c_char * 256), ("serial", c_char * 64), ("not_before", c_uint64),
                ("not_after", c_uint64)]


class _Event(Structure):
    _fields_ = [("type", c_int), ("link", c_void_p), ("stream", c_void_p), ("remote_id", c_char_p), ("capabilities", POINTER(c_char_p)),
                ("must_ask", c_bool), ("capability", c_char_p), ("argument", c_char_p), ("data", c_void_p), ("size", c_size_t), ("pause_ms", c_uint64),
                ("error", _Error), ("call", c_void_p), ("registration", c_void_p), ("invocation", c_void_p), ("subscription", c_void_p),
                ("publication", c_uint64), ("user", c_void_p), ("message", c_void_p), ("code", c_char_p), ("names", c_void_p), ("n_names", c_size_t),
                ("finding", c_void_p), ("remote_names", c_char_p), ("remote_groups", c_char_p), ("_later", c_char * 512)]


class _LinkFacts(Structure):
    _fields_ = [("remote_id", c_char * 16), ("tls_version", c_char * 16), ("cipher", c_char * 40), ("alpn", c_char * 24), ("verified_name", c_char * 256),
                ("remote_subject", c_char * 256), ("remote_issuer", c_char * 256), ("path_kind", c_char * 16), ("path_local", c_char * 80),
                ("path_remote", c_char * 80), ("rtt_us", c_uint64), ("bytes_sent", c_uint64), ("bytes_received", c_uint64), ("packets_sent", c_uint64),
                ("packets_received", c_uint64), ("under_way", c_uint64), ("window", c_uint64), ("rate", c_uint64), ("datagram_max", c_size_t),
                ("_later", c_char * 1024)]


class _StreamFacts(Structure):
    _fields_ = [("size", c_size_t), ("written", c_uint64), ("read", c_uint64), ("waiting_out", c_size_t), ("waiting_in", c_size_t)]


_CALLS = {  # name: (result, arguments)
    "peer_new": (c_void_p, [POINTER(_Config), POINTER(_Error)]),
    "peer_free": (None, [c_void_p]),
    "peer_fd": (c_int, [c_void_p]),
    "peer_is_online": (c_bool, [c_void_p]),
    "peer_identity": (c_bool, [c_void_p, POINTER(_Identity)]),
    "peer_next_event": (c_bool, [c_void_p, POINTER(_Event)]),
    "peer_dial": (c_void_p, [c_void_p, c_char_p, POINTER(c_char_p), POINTER(_Error)]),
    "peer_link_accept": (c_bool, [c_void_p, POINTER(c_char_p), POINTER(_Error)]),
    "peer_link_decline": (None, [c_void_p, c_char_p]),
    "peer_link_close": (None, [c_void_p, c_char_p]),
    "peer_link_facts": (c_bool, [c_void_p, POINTER(_LinkFacts)]),
    "peer_link_sas": (c_bool, [c_void_p, POINTER(_Error)]),
    "peer_stream_open": (c_void_p, [c_void_p, c_char_p, c_char_p, POINTER(_Error)]),
    "peer_stream_write": (c_size_t, [c_void_p, c_void_p, c_size_t]),
    "peer_stream_finish": (None, [c_void_p]),
    "peer_stream_read": (c_size_t, [c_void_p, c_void_p, c_size_t, POINTER(c_bool)]),
    "peer_stream_reset": (None, [c_void_p, c_uint64]),
    "peer_stream_set_urgency": (None, [c_void_p, c_uint]),
    "peer_stream_fd": (c_int, [c_void_p, POINTER(_Error)]),
    "peer_stream_facts": (c_bool, [c_void_p, POINTER(_StreamFacts)]),
    "peer_datagram_send": (c_bool, [c_void_p, c_char_p, c_size_t, POINTER(_Error)]),
    "peer_version": (c_char_p, []),
}


def _load():
    name = os.environ.get("WARREN_LIBPEER") or ctypes.util.find_library("peer") or "libpeer.so.0"
    library = ctypes.CDLL(name)
    for call, (result, arguments) in _CALLS.items():
        function = getattr(library, call)
        function.restype, function.argtypes = result, arguments
    return library


_lib = _load()


def version():
    return _lib.peer_version().decode()


def _texts(items):
    return None if items is None else (c_char_p * (len(items) + 1))(*[item.encode() for item in items], None)


def _list(array):
    found = []
    while array and array[len(found)] is not None:
        found.append(array[len(found)].decode())
    return found


def _must(ok, error):
    if not ok:
        raise Error(error)
    return ok


class _Handle:
    """What a pointer stands for, until the library has said that it is gone."""

    def __init__(self, peer, pointer):
        self.peer, self._pointer = peer, pointer

    @property
    def _handle(self):
        if self._pointer is None or self.peer._pointer is None:
            raise ValueError(f"this {type(self).__name__.lower()} is over")
        return self._pointer


class Stream(_Handle):
    link = None

    def write(self, data):
        """How many bytes were taken; with fewer than all, WRITABLE follows."""
        return _lib.peer_stream_write(self._handle, (c_char * len(data)).from_buffer_copy(data) if data else None, len(data))

    def read(self, size=65536):
        """What is there: b"" is nothing now, None is the end."""
        to, end = ctypes.create_string_buffer(size), c_bool()
        n = _lib.peer_stream_read(self._handle, to, size, byref(end))
        return None if n == 0 and end.value else to.raw[:n]

    def finish(self):
        _lib.peer_stream_finish(self._handle)

    def reset(self, code=0):
        _lib.peer_stream_reset(self._handle, code)

    def set_urgency(self, urgency):
        _lib.peer_stream_set_urgency(self._handle, urgency)

    def socket(self):
        """The stream as a socket of the standard library."""
        error = _Error()
        fd = _lib.peer_stream_fd(self._handle, byref(error))
        _must(fd >= 0, error)
        return socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, fileno=fd)

    def facts(self):
        facts = _StreamFacts(size=ctypes.sizeof(_StreamFacts))
        _lib.peer_stream_facts(self._handle, byref(facts))
        return {name: getattr(facts, name) for name, _ in _StreamFacts._fields_[1:]}


class Link(_Handle):
    def accept(self, capabilities=None):
        error = _Error()
        _must(_lib.peer_link_accept(self._handle, _texts(capabilities), byref(error)), error)

    def decline(self, reason="declined"):
        _lib.peer_link_decline(self._handle, reason.encode())

    def close(self, reason="done"):
        _lib.peer_link_close(self._handle, reason.encode())

    def open(self, capability, argument=""):
        error = _Error()
        return self.peer._stream(_must(_lib.peer_stream_open(self._handle, capability.encode(), argument.encode(), byref(error)), error), self)

    def send_datagram(self, data):
        error = _Error()
        _must(_lib.peer_datagram_send(self._handle, data, len(data), byref(error)), error)

    def ask_sas(self):
        error = _Error()
        _must(_lib.peer_link_sas(self._handle, byref(error)), error)

    def facts(self):
        """None before the link is up."""
        facts = _LinkFacts()
        if not _lib.peer_link_facts(self._handle, byref(facts)):
            return None
        found = {name: getattr(facts, name) for name, _ in _LinkFacts._fields_[:-1]}
        return {name: value.decode("utf-8", "replace") if isinstance(value, bytes) else value for name, value in found.items()}


class Event:
    """type, and what of link, stream, remote_id, remote_names, remote_groups, capabilities, must_ask, capability, argument, data, pause_ms, code and
    error (None: nothing failed)
    the type has."""

    def __init__(self, peer, raw):
        text = lambda value: None if value is None else value.decode("utf-8", "replace")
        self.type, self.name = raw.type, _EVENTS[raw.type - 1] if 0 < raw.type <= len(_EVENTS) else str(raw.type)
        self.link = peer._link(raw.link) if raw.link else None
        self.stream = peer._stream(raw.stream, self.link) if raw.stream else None
        self.remote_id, self.capability, self.argument, self.code = map(text, (raw.remote_id, raw.capability, raw.argument, raw.code))
        self.remote_names, self.remote_groups = map(text, (raw.remote_names, raw.remote_groups))
        self.capabilities, self.must_ask, self.pause_ms = _list(raw.capabilities), raw.must_ask, raw.pause_ms
        self.data = ctypes.string_at(raw.data, raw.size) if raw.data else b""
        self.error = Error(raw.error) if raw.error.name else None


class Peer:
    """This machine in one network. `state_dir` is the folder that `warren join` filled; `join` a join string for a new one."""

    def __init__(self, state_dir=None, join=None, capabilities=None, allow_loopback=False, passphrase=None):
        encode = lambda value: None if value is None else os.fsencode(value)
        texts = _texts(capabilities)
        config = _Config(size=ctypes.sizeof(_Config), state_dir=encode(state_dir), join=encode(join), capabilities=texts,
                         allow_loopback=allow_loopback, passphrase=encode(passphrase))
        error = _Error()
        self._links, self._streams, self._gone = {}, {}, []
        self._pointer = _lib.peer_new(byref(config), byref(error))
        _must(self._pointer, error)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self._pointer is not None:
            _lib.peer_free(self._pointer)
        self._pointer = None

    def fileno(self):
        """Readable while an event waits: for select, asyncio's add_reader and the like."""
        return _lib.peer_fd(self._pointer)

    def _link(self, pointer):
        return self._links.setdefault(pointer, Link(self, pointer))

    def _stream(self, pointer, link):
        stream = self._streams.setdefault(pointer, Stream(self, pointer))
        stream.link = link
        return stream

    @property
    def is_online(self):
        return _lib.peer_is_online(self._pointer)

    def identity(self):
        """None before this machine has its ID."""
        found = _Identity()
        if not _lib.peer_identity(self._pointer, byref(found)):
            return None
        values = {name: getattr(found, name) for name, _ in _Identity._fields_}
        return {name: value.decode("utf-8", "replace") if isinstance(value, bytes) else value for name, value in values.items()}

    def dial(self, whom, capabilities):
        error = _Error()
        return self._link(_must(_lib.peer_dial(self._pointer, whom.encode(), _texts(capabilities), byref(error)), error))

    def _forget_gone(self):
        for handle in self._gone:
            table = self._links if isinstance(handle, Link) else self._streams
            table.pop(handle._pointer, None)
            handle._pointer = None
        self._gone = []

    def next_event(self, timeout=None):
        """The next one, or None after `timeout` seconds (None: waits for ever)."""
        raw = _Event()
        self._forget_gone()
        while not _lib.peer_next_event(self._pointer, byref(raw)):
            if not select.select([self.fileno()], [], [], timeout)[0]:
                return None
        event = Event(self, raw)
        if event.type == STREAM_CLOSED:  # noqa: F821: _EVENTS made it
            self._gone = [event.stream]
        elif event.type == LINK_DOWN:  # noqa: F821
            self._gone = [event.link, *(stream for stream in self._streams.values() if stream.link is event.link)]
        return event

    def events(self):
        while self._pointer is not None:
            yield self.next_event()
