/* SPDX-License-Identifier: Apache-2.0 */
/* Load for `cfssl serve`: cfssl_load PORT REQUESTS CONNECTIONS. Each connection is kept alive and asks for one
 * certificate after the other, by HTTP, for requests that were prepared before. Prints one line of JSON. */
#include "base/clock.h"
#include "base/key.h"
#include "pki/pki.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_CONNECTIONS = 256, MAX_ANSWER = 16384 };

static struct buf *requests;
static size_t n_requests;
static atomic_size_t next_request;
static uint16_t port;

static _Noreturn void give_up(const char *what)
{
    fprintf(stderr, "cfssl_load: %s\n", what);
    _exit(1);
}

static void make_request(struct buf *to)
{
    _cleanup_(pki_key_freep) struct pki_key *key = NULL;
    _buf_ csr = { 0 }, pem = { 0 }, body = { 0 };
    struct err err;

    if (!pki_key_new(PKI_P256, &key, &err) || !pki_csr_new(key, &csr, &err))
        give_up(err.text);
    pki_pem_put(&pem, "CERTIFICATE REQUEST", buf_view(&csr));
    buf_put_text(&body, "{\"hostname\": \"456000.bench.warren\", \"certificate_request\": \"");
    for (size_t i = 0; i < pem.len; i++)
        if (pem.data[i] == '\n')
            buf_put_text(&body, "\\n");
        else
            buf_put_u8(&body, pem.data[i]);
    buf_put_text(&body, "\"}");
    buf_printf(to,
               "POST /api/v1/cfssl/sign HTTP/1.1\r\nHost: 127.0.0.1\r\n"
               "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
               body.len);
    buf_put(to, buf_view(&body));
}

static int dial(void)
{
    struct sockaddr_in to = { .sin_family = AF_INET,
                              .sin_port = htons(port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0)
        give_up("no connection");
    return fd;
}

/* Where the body ends, or 0: not all there yet. */
static size_t whole_len(char *text)
{
    const char *end = strstr(text, "\r\n\r\n"), *len = strstr(text, "Content-Length: ");

    return end && len && len < end ? (size_t)(end - text) + 4 + strtoul(len + 16, NULL, 10) : 0;
}

static void ask(int fd, const struct buf *request)
{
    char answer[MAX_ANSWER + 1];
    size_t used = 0, whole = 0;

    if (write(fd, request->data, request->len) != (ssize_t)request->len)
        give_up("writing");
    while (whole == 0 || used < whole) {
        ssize_t n = used < MAX_ANSWER ? read(fd, answer + used, MAX_ANSWER - used) : 0;
        if (n <= 0)
            give_up("reading");
        used += (size_t)n;
        answer[used] = '\0';
        whole = whole ? whole : whole_len(answer);
    }
    if (!strstr(answer, "BEGIN CERTIFICATE"))
        give_up(answer);
}

static void *run(void *unused)
{
    int fd = dial();
    size_t i;

    while ((i = atomic_fetch_add(&next_request, 1)) < n_requests)
        ask(fd, &requests[i]);
    close(fd);
    return unused;
}

int main(int argc, char **argv)
{
    pthread_t threads[MAX_CONNECTIONS];
    size_t n = argc == 4 ? strtoul(argv[3], NULL, 10) : 0;
    uint64_t started;
    struct err err;

    if (n == 0 || n > MAX_CONNECTIONS || !key_init(&err))
        give_up("usage: cfssl_load PORT REQUESTS CONNECTIONS");
    port = (uint16_t)strtoul(argv[1], NULL, 10);
    n_requests = strtoul(argv[2], NULL, 10);
    requests = mem_array(struct buf, n_requests);
    for (size_t i = 0; i < n_requests; i++)
        make_request(&requests[i]);
    started = clock_mono_ms();
    for (size_t i = 0; i < n; i++)
        if (pthread_create(&threads[i], NULL, run, NULL) != 0)
            give_up("threads");
    for (size_t i = 0; i < n; i++)
        pthread_join(threads[i], NULL);
    printf("{\"certificates\": %zu, \"value\": %.1f}\n", n_requests,
           (double)n_requests * 1000 / (double)(clock_mono_ms() - started));
    return 0;
}
