/* SPDX-License-Identifier: Apache-2.0 */
/* The Internet of the laboratory, in user space: wan CONTROL-SOCKET SITE,NETNS,PREFIX[,PREFIX ...] ...
 *
 * Each site is a TUN device "wan0" in its network namespace. A packet goes to the site whose prefix holds its destination, over
 * the one way between the two (wan_link.h); what is for nobody is swallowed, without an ICMP message, as on a real uplink.
 *
 * CONTROL-SOCKET takes one command a datagram and answers it: "set A B delay=12500us loss=0.5% ..." for one direction (keys:
 * delay, jitter, loss, reorder, rate, queue), "cut A B", "mend A B", "stats". It says "ready" when everything is open. */
#include "wan_link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum {
    MAX_SITES = 8,
    MAX_PREFIXES = 8,
    MAX_WAITING = 1 << 17, /* packets under way: 100 ms of 10 Gbit/s */
    SLOT = 2048,
    AT_ONCE = 64, /* read from one site before the next one's turn */
    SPIN_NS =
        80 * 1000 /* nearer than this the next packet is not slept for: a wake-up takes as long */
};

struct prefix {
    uint8_t bytes[16];
    unsigned bits; /* of the IPv6 form; IPv4 as ::ffff:a.b.c.d */
};

struct site {
    char name[32], netns[96];
    int fd;
    struct prefix prefixes[MAX_PREFIXES];
    size_t n_prefixes;
};

static struct site sites[MAX_SITES];
static size_t n_sites;
static struct wan_link links[MAX_SITES][MAX_SITES];
static uint64_t n_swallowed, n_full;

static uint8_t *slots;
static uint32_t free_slots[MAX_WAITING];
static size_t n_free_slots;
static struct wan_wait waits[MAX_WAITING];
static struct wan_heap heap = { .waits = waits, .size = MAX_WAITING };

static uint64_t seed;

__attribute__((noreturn, format(printf, 1, 2))) static void die(const char *format, ...)
{
    va_list args;

    fprintf(stderr, "wan: ");
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "\n");
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t random64(void) /* splitmix64 */
{
    uint64_t z = seed += 0x9e3779b97f4a7c15;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

/* ---- sites ---- */

static void read_prefix(char *text, struct prefix *to)
{
    static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
    char *slash = strchr(text, '/');
    unsigned bits = slash ? (unsigned)strtoul(slash + 1, NULL, 10) : 0;

    if (!slash || bits == 0)
        die("%s: not ADDRESS/BITS", text);
    *slash = 0;
    memcpy(to->bytes, mapped, sizeof(mapped));
    if (inet_pton(AF_INET, text, to->bytes + 12) == 1 && bits <= 32)
        to->bits = bits + 96;
    else if (inet_pton(AF_INET6, text, to->bytes) == 1 && bits <= 128)
        to->bits = bits;
    else
        die("%s/%u: not an address with a prefix length", text, bits);
}

static bool holds(const struct prefix *prefix, const uint8_t address[16])
{
    unsigned whole = prefix->bits / 8, rest = prefix->bits % 8;

    return memcmp(prefix->bytes, address, whole) == 0 &&
           (rest == 0 || (prefix->bytes[whole] ^ address[whole]) >> (8 - rest) == 0);
}

static struct site *site_of(const uint8_t address[16])
{
    for (size_t i = 0; i < n_sites; i++)
        for (size_t j = 0; j < sites[i].n_prefixes; j++)
            if (holds(&sites[i].prefixes[j], address))
                return &sites[i];
    return NULL;
}

/* The next word that is not empty, or NULL. */
static char *next_word(char **words, const char *between)
{
    char *word = strsep(words, between);

    while (word && !*word)
        word = strsep(words, between);
    return word;
}

static void add_site(char *words)
{
    struct site *site = &sites[n_sites];
    char *name = next_word(&words, ","), *netns = next_word(&words, ","), *prefix;

    if (n_sites == MAX_SITES)
        die("more than %d sites", MAX_SITES);
    if (!name || !netns)
        die("a site is NAME,NETNS,PREFIX[,PREFIX ...]");
    snprintf(site->name, sizeof(site->name), "%s", name);
    snprintf(site->netns, sizeof(site->netns), "/run/netns/%s", netns);
    while ((prefix = next_word(&words, ","))) {
        if (site->n_prefixes == MAX_PREFIXES)
            die("%s: more than %d prefixes", name, MAX_PREFIXES);
        read_prefix(prefix, &site->prefixes[site->n_prefixes++]);
    }
    n_sites++;
}

/* A device is made in the namespace that its thread is in when it is made, and stays there. */
static void open_site(struct site *site)
{
    struct ifreq request = { .ifr_flags = IFF_TUN | IFF_NO_PI };
    int ns = open(site->netns, O_RDONLY | O_CLOEXEC);

    if (ns < 0 || setns(ns, CLONE_NEWNET) < 0)
        die("%s: %s", site->netns, strerror(errno));
    close(ns);
    site->fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (site->fd < 0)
        die("/dev/net/tun: %s", strerror(errno));
    memcpy(request.ifr_name, "wan0", 5);
    if (ioctl(site->fd, TUNSETIFF, &request) < 0)
        die("wan0 in %s: %s", site->netns, strerror(errno));
}

/* ---- packets ---- */

static struct site *destination(const uint8_t *packet, size_t len)
{
    uint8_t address[16] = { [10] = 0xff, [11] = 0xff };

    if (len >= 20 && packet[0] >> 4 == 4)
        memcpy(address + 12, packet + 16, 4);
    else if (len >= 40 && packet[0] >> 4 == 6)
        memcpy(address, packet + 24, 16);
    else
        return NULL;
    return site_of(address);
}

static void take(const struct site *from, uint32_t slot, size_t len, uint64_t now)
{
    const struct site *to = destination(slots + (size_t)slot * SLOT, len);
    struct wan_wait wait = { .slot = slot, .len = (uint32_t)len };

    if (!to || to == from) {
        n_swallowed++;
    } else {
        wait.from = (uint16_t)(from - sites);
        wait.to = (uint16_t)(to - sites);
        if (wan_link_take(&links[wait.from][wait.to], now, len, random64, &wait.due_ns) &&
            wan_heap_push(&heap, wait))
            return;
    }
    free_slots[n_free_slots++] = slot;
}

static void read_site(struct site *site)
{
    for (int i = 0; i < AT_ONCE && n_free_slots; i++) {
        uint32_t slot = free_slots[n_free_slots - 1];
        ssize_t len = read(site->fd, slots + (size_t)slot * SLOT, SLOT);

        if (len <= 0)
            return;
        n_free_slots--;
        take(site, slot, (size_t)len, now_ns());
    }
    n_full += n_free_slots == 0;
}

static void send_due(void)
{
    for (int i = 0; i < AT_ONCE && heap.n && heap.waits[0].due_ns <= now_ns(); i++) {
        struct wan_wait wait = wan_heap_pop(&heap);

        /* A site that is down or swamped loses it, as a cable would. */
        if (write(sites[wait.to].fd, slots + (size_t)wait.slot * SLOT, wait.len) < 0)
            links[wait.from][wait.to].n_lost++;
        free_slots[n_free_slots++] = wait.slot;
    }
}

/* ---- control ---- */

static bool read_unit(const char *text, const char *const units[], const double factors[],
                      double *ret)
{
    char *end;
    double n = strtod(text, &end);

    if (end == text || n < 0)
        return false;
    for (size_t i = 0; units[i]; i++)
        if (strcmp(end, units[i]) == 0) {
            *ret = n * factors[i];
            return true;
        }
    return false;
}

static bool read_value(struct wan_link *link, const char *key, const char *text)
{
    static const char *const times[] = { "ns", "us", "ms", "s", NULL };
    static const double time_factors[] = { 1, 1e3, 1e6, 1e9 };
    static const char *const parts[] = { "%", NULL };
    static const double part_factors[] = { 1e4 };
    static const char *const rates[] = { "bit", "kbit", "mbit", "gbit", NULL };
    static const double rate_factors[] = { 1, 1e3, 1e6, 1e9 };
    static const char *const sizes[] = { "", "B", "kB", "MB", NULL };
    static const double size_factors[] = { 1, 1, 1e3, 1e6 };
    double n;

    if (strcmp(key, "delay") == 0 && read_unit(text, times, time_factors, &n))
        link->delay_ns = (uint64_t)n;
    else if (strcmp(key, "jitter") == 0 && read_unit(text, times, time_factors, &n))
        link->jitter_ns = (uint64_t)n;
    else if (strcmp(key, "loss") == 0 && read_unit(text, parts, part_factors, &n) && n <= 1e6)
        link->loss_ppm = (uint32_t)n;
    else if (strcmp(key, "reorder") == 0 && read_unit(text, parts, part_factors, &n) && n <= 1e6)
        link->reorder_ppm = (uint32_t)n;
    else if (strcmp(key, "rate") == 0 && read_unit(text, rates, rate_factors, &n))
        link->rate_bps = (uint64_t)n;
    else if (strcmp(key, "queue") == 0 && read_unit(text, sizes, size_factors, &n))
        link->queue_bytes = (uint64_t)n;
    else
        return false;
    return true;
}

/* A quarter of the delay, and never less than a millisecond; a queue of 100 ms where none is said. */
static void settle(struct wan_link *link)
{
    link->reorder_ns = link->delay_ns / 4 > 1000000 ? link->delay_ns / 4 : 1000000;
    if (link->rate_bps && link->queue_bytes == 0)
        link->queue_bytes = link->rate_bps / 80 > 65536 ? link->rate_bps / 80 : 65536;
}

static struct wan_link *find_link(char **words)
{
    char *from = next_word(words, " "), *to = next_word(words, " ");
    size_t a = MAX_SITES, b = MAX_SITES;

    for (size_t i = 0; i < n_sites; i++) {
        a = from && strcmp(from, sites[i].name) == 0 ? i : a;
        b = to && strcmp(to, sites[i].name) == 0 ? i : b;
    }
    return a < MAX_SITES && b < MAX_SITES && a != b ? &links[a][b] : NULL;
}

static void set(struct wan_link *link, char *words, FILE *answer)
{
    struct wan_link new = { .is_cut = link->is_cut };
    char *word, *value;

    while ((word = next_word(&words, " "))) {
        value = strchr(word, '=');
        if (!value) {
            fprintf(answer, "error: %s: not KEY=VALUE", word);
            return;
        }
        *value++ = 0;
        if (!read_value(&new, word, value)) {
            fprintf(answer, "error: %s=%s: no such key, or not a value with its unit", word, value);
            return;
        }
    }
    settle(&new);
    new.n_packets = link->n_packets, new.n_bytes = link->n_bytes, new.n_lost = link->n_lost;
    new.n_overflow = link->n_overflow, new.n_cut = link->n_cut, new.n_reordered = link->n_reordered;
    *link = new;
    fprintf(answer, "ok");
}

static void stats(FILE *answer)
{
    fprintf(answer, "{\"swallowed\": %lu, \"pool_full\": %lu, \"waiting\": %zu, \"ways\": [",
            n_swallowed, n_full, heap.n);
    for (size_t i = 0, n = 0; i < n_sites; i++)
        for (size_t j = 0; j < n_sites; j++) {
            const struct wan_link *l = &links[i][j];

            if (i != j)
                fprintf(answer,
                        "%s{\"from\": \"%s\", \"to\": \"%s\", \"delay_us\": %lu, \"jitter_us\": "
                        "%lu, \"loss_ppm\": %u, "
                        "\"reorder_ppm\": %u, \"rate_bps\": %lu, \"queue\": %lu, \"cut\": %s, "
                        "\"packets\": %lu, \"bytes\": %lu, "
                        "\"lost\": %lu, \"overflow\": %lu, \"swallowed_by_cut\": %lu, "
                        "\"reordered\": %lu}",
                        n++ ? ", " : "", sites[i].name, sites[j].name, l->delay_ns / 1000,
                        l->jitter_ns / 1000, l->loss_ppm, l->reorder_ppm, l->rate_bps,
                        l->queue_bytes, l->is_cut ? "true" : "false", l->n_packets, l->n_bytes,
                        l->n_lost, l->n_overflow, l->n_cut, l->n_reordered);
        }
    fprintf(answer, "]}");
}

static void obey(char *command, FILE *answer)
{
    const char *verb = next_word(&command, " ");
    struct wan_link *link;

    if (verb && strcmp(verb, "stats") == 0) {
        stats(answer);
        return;
    }
    link = find_link(&command);
    if (!verb || !link)
        fprintf(answer, "error: not VERB FROM TO of two sites");
    else if (strcmp(verb, "set") == 0)
        set(link, command, answer);
    else if (strcmp(verb, "cut") == 0 || strcmp(verb, "mend") == 0) {
        link->is_cut = *verb == 'c';
        fprintf(answer, "ok");
    } else
        fprintf(answer, "error: %s: not set, cut, mend or stats", verb);
}

static void hear(int control)
{
    char command[1024], answer[16384] = "";
    struct sockaddr_un from;
    socklen_t from_len = sizeof(from);
    ssize_t len =
        recvfrom(control, command, sizeof(command) - 1, 0, (struct sockaddr *)&from, &from_len);
    FILE *text;

    if (len < 0)
        return;
    command[len] = 0;
    text = fmemopen(answer, sizeof(answer), "w");
    obey(command, text);
    fclose(text);
    sendto(control, answer, strlen(answer), MSG_DONTWAIT, (struct sockaddr *)&from, from_len);
}

static int open_control(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (strlen(path) >= sizeof(address.sun_path))
        die("%s: too long for a socket", path);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    unlink(path);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        die("%s: %s", path, strerror(errno));
    return fd;
}

/* ---- the loop ---- */

static void make_pool(void)
{
    slots = mmap(NULL, (size_t)MAX_WAITING * SLOT, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (slots == MAP_FAILED)
        die("no memory for packets: %s", strerror(errno));
    for (uint32_t i = 0; i < MAX_WAITING;
         i++) /* the last given back is the first taken: few pages are touched */
        free_slots[n_free_slots++] = MAX_WAITING - 1 - i;
}

static void watch(int epoll, int fd, uint64_t what)
{
    struct epoll_event event = { .events = EPOLLIN, .data.u64 = what };

    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
        die("epoll: %s", strerror(errno));
}

static int wait_events(int epoll, struct epoll_event *events)
{
    uint64_t now, left;
    struct timespec time;

    if (heap.n == 0)
        return epoll_pwait2(epoll, events, MAX_SITES + 1, NULL, NULL);
    now = now_ns();
    left = heap.waits[0].due_ns > now ? heap.waits[0].due_ns - now : 0;
    left = left > SPIN_NS ? left - SPIN_NS : 0;
    time = (struct timespec){ .tv_sec = (time_t)(left / 1000000000),
                              .tv_nsec = (long)(left % 1000000000) };
    return epoll_pwait2(epoll, events, MAX_SITES + 1, &time, NULL);
}

int main(int argc, char **argv)
{
    struct epoll_event events[MAX_SITES + 1];
    int control, epoll = epoll_create1(EPOLL_CLOEXEC);

    if (argc < 4)
        die("usage: wan CONTROL-SOCKET SITE,NETNS,PREFIX[,PREFIX ...] SITE,...");
    signal(SIGPIPE, SIG_IGN);
    if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
        die("no random bits");
    make_pool();
    control = open_control(argv[1]);
    watch(epoll, control, MAX_SITES);
    for (int i = 2; i < argc; i++) {
        add_site(argv[i]);
        open_site(&sites[n_sites - 1]);
        watch(epoll, sites[n_sites - 1].fd, n_sites - 1);
    }
    printf("ready\n");
    fflush(stdout);

    for (;;) {
        int n = wait_events(epoll, events);

        for (int i = 0; i < n; i++)
            if (events[i].data.u64 == MAX_SITES)
                hear(control);
            else
                read_site(&sites[events[i].data.u64]);
        send_due();
    }
}
