/* SPDX-License-Identifier: Apache-2.0 */
/* The same load on NATS, over TLS: nats_load serve|call PORT WINDOW SIZE SECONDS FLUSH
 * `serve` answers requests on one subject; `call` keeps WINDOW of them in flight through its own
 * inbox, each answer's number in its subject. FLUSH 1: every message is sent at once; 0: the
 * library's write buffering. `call` prints one line of JSON. */
#include <nats/nats.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { WARM_NS = 500000000, MAX_SAMPLES = 1 << 23 };
static const char subject[] = "bench.echo", inbox[] = "bench.inbox";

static struct {
    natsConnection *conn;
    char *body;
    int size;
    size_t window, n_ended, n_samples;
    uint64_t warm_at, end_at, n_counted, first_at, last_at;
    uint64_t *sent_at;
    uint32_t *samples;
    volatile bool is_done;
} caller;

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void must(natsStatus status, const char *what)
{
    if (status == NATS_OK)
        return;
    fprintf(stderr, "nats_load: %s: %s\n", what, natsStatus_GetText(status));
    exit(EXIT_FAILURE);
}

static natsConnection *dial(const char *port, bool is_flushed)
{
    natsOptions *options = NULL;
    natsConnection *conn = NULL;
    char url[64];

    snprintf(url, sizeof(url), "tls://127.0.0.1:%s", port);
    must(natsOptions_Create(&options), "options");
    must(natsOptions_SetURL(options, url), "url");
    must(natsOptions_SetSecure(options, true), "tls");
    must(natsOptions_SkipServerVerification(options, true), "tls");
    must(natsOptions_SetSendAsap(options, is_flushed), "flush");
    must(natsConnection_Connect(&conn, options), "connecting");
    natsOptions_Destroy(options);
    return conn;
}

static void call_again(size_t place, uint64_t now)
{
    char reply[64];

    snprintf(reply, sizeof(reply), "%s.%zu", inbox, place);
    caller.sent_at[place] = now;
    must(natsConnection_PublishRequest(caller.conn, subject, reply, caller.body, caller.size),
         "a call");
}

static void on_answer(natsConnection *conn, natsSubscription *sub, natsMsg *msg, void *user)
{
    size_t place = strtoul(natsMsg_GetSubject(msg) + sizeof(inbox), NULL, 10);
    uint64_t now = now_ns();

    (void)conn;
    (void)sub;
    (void)user;
    natsMsg_Destroy(msg);
    if (now >= caller.warm_at && now < caller.end_at) {
        if (!caller.n_counted++)
            caller.first_at = now;
        caller.last_at = now;
        if (caller.n_samples < MAX_SAMPLES)
            caller.samples[caller.n_samples++] = (uint32_t)(now - caller.sent_at[place]);
    }
    if (now < caller.end_at)
        call_again(place, now);
    else if (++caller.n_ended == caller.window)
        caller.is_done = true;
}

static void on_request(natsConnection *conn, natsSubscription *sub, natsMsg *msg, void *user)
{
    (void)sub;
    (void)user;
    must(natsConnection_Publish(conn, natsMsg_GetReply(msg), natsMsg_GetData(msg),
                                natsMsg_GetDataLength(msg)),
         "an answer");
    natsMsg_Destroy(msg);
}

static int by_size(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static double part_us(double part)
{
    size_t at = (size_t)((double)caller.n_samples * part);

    return at < caller.n_samples ? caller.samples[at] / 1000.0 : 0;
}

static void print(void)
{
    double seconds = (double)(caller.last_at - caller.first_at) / 1e9;

    qsort(caller.samples, caller.n_samples, sizeof(*caller.samples), by_size);
    printf("{\"calls\": %llu, \"value\": %.1f, \"p50_us\": %.1f, \"p99_us\": %.1f}\n",
           (unsigned long long)caller.n_counted,
           seconds > 0 ? (double)caller.n_counted / seconds : 0, part_us(0.5), part_us(0.99));
    fflush(stdout);
}

static void run_call(char **argv)
{
    natsSubscription *sub = NULL;
    char all[64];

    caller.window = strtoul(argv[3], NULL, 10);
    caller.size = (int)strtol(argv[4], NULL, 10);
    caller.body = calloc(1, (size_t)caller.size + 1);
    caller.sent_at = calloc(caller.window, sizeof(*caller.sent_at));
    caller.samples = calloc(MAX_SAMPLES, sizeof(*caller.samples));
    if (!caller.body || !caller.sent_at || !caller.samples)
        abort();
    snprintf(all, sizeof(all), "%s.*", inbox);
    must(natsConnection_Subscribe(&sub, caller.conn, all, on_answer, NULL), "subscribing");
    must(natsConnection_Flush(caller.conn), "subscribing");
    caller.warm_at = now_ns() + WARM_NS;
    caller.end_at = caller.warm_at + strtoul(argv[5], NULL, 10) * 1000000000u;
    for (size_t i = 0; i < caller.window; i++)
        call_again(i, now_ns());
    while (!caller.is_done)
        usleep(20000);
    print();
}

int main(int argc, char **argv)
{
    natsSubscription *sub = NULL;
    bool is_server = argc == 7 && strcmp(argv[1], "serve") == 0;

    if (argc != 7 || (!is_server && strcmp(argv[1], "call") != 0)) {
        fputs("usage: nats_load serve|call PORT WINDOW SIZE SECONDS FLUSH\n", stderr);
        return 2;
    }
    caller.conn = dial(argv[2], strcmp(argv[6], "1") == 0);
    if (!is_server) {
        run_call(argv);
        return 0;
    }
    must(natsConnection_Subscribe(&sub, caller.conn, subject, on_request, NULL), "subscribing");
    must(natsConnection_Flush(caller.conn), "subscribing");
    puts("{\"said\": \"ready\"}");
    fflush(stdout);
    for (;;)
        pause();
}
