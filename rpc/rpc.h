/* SPDX-License-Identifier: Apache-2.0 */
/* The language that all parts speak: WAMP v2 over WebSocket, and the statements that travel in it.
 * This header is the door; PROTOCOL.md says what goes over the wire, byte by byte. */
#pragma once

#include "rpc/value.h"          /* msgpack values: bounded reading, writing */
#include "rpc/json.h"           /* the same in JSON */
#include "rpc/message.h"        /* WAMP messages */
#include "rpc/error.h"          /* error URIs <-> struct err */
#include "rpc/statement.h"      /* what each party signs */
#include "rpc/join.h"           /* the join string */
#include "rpc/names.h"          /* what people call keys and IDs */
#include "rpc/trust.h"          /* manifests, heartbeats, network time */
#include "rpc/revoked.h"        /* what den has revoked */
#include "rpc/netsign.h"        /* proving keys over the TLS exporter */
#include "rpc/client.h"         /* a session that calls and serves; no I/O */
#include "rpc/loop.h"           /* the daemons' loop */
#include "rpc/ws.h"             /* the WebSocket edge, server and client */
#include "rpc/ws_http.h"        /* pages over plain HTTP */
#include "rpc/router_request.h" /* how a router is taken in */
#include "rpc/turn.h"           /* what den gives for TURN */
#include "rpc/uplink.h"         /* a client on the edge that comes back by itself */
