/* SPDX-License-Identifier: Apache-2.0 */
#include "router/door.h"
#include "base/file.h"
#include "base/text.h"
#include "router/page.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

struct door {
    struct rpc_http *http;
    struct router *router;
    uint64_t started_at;
};

/* ---- what the system says of us -------------------------------------------------------------- */

static uint64_t count_files(void)
{
    struct stat about;
    uint64_t n = 0;
    DIR *dir;

    if (stat("/proc/self/fd", &about) == 0 && about.st_size > 0) /* since Linux 6.2 */
        return (uint64_t)about.st_size;
    dir = opendir("/proc/self/fd");
    if (!dir)
        return 0;
    while (readdir(dir))
        n++;
    closedir(dir);
    return n > 3 ? n - 3 : 0; /* ".", ".." and this one */
}

static void read_memory(struct page_scene *scene)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    unsigned long long whole = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "re");

    if (!file)
        return;
    if (fscanf(file, "%llu %llu", &whole, &resident) == 2) {
        scene->virtual_bytes = whole * page;
        scene->resident_bytes = resident * page;
    }
    fclose(file);
}

static uint64_t ms_of(struct timeval t)
{
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_usec / 1000;
}

static void look(const struct door *door, struct page_scene *scene)
{
    struct rlimit files;
    struct rusage usage;

    *scene = (struct page_scene){ .version = WARREN_VERSION, .started_at = door->started_at };
    read_memory(scene);
    scene->open_files = count_files();
    if (getrlimit(RLIMIT_NOFILE, &files) == 0)
        scene->max_files = files.rlim_cur;
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        scene->cpu_ms = ms_of(usage.ru_utime) + ms_of(usage.ru_stime);
}

/* ---- pages ----------------------------------------------------------------------------------- */

static struct moment now(void)
{
    uint64_t fine = clock_mono_us();

    return (struct moment){ fine / 1000, clock_wall_ms(), fine };
}

static void serve(void *user, struct view path, struct rpc_http_page *page)
{
    const struct door *door = user;
    struct page_scene scene;

    if (view_eq_text(path, "/metrics")) {
        look(door, &scene);
        page->status = 200;
        page->type = "text/plain; version=0.0.4; charset=utf-8";
        page_metrics(door->router, now(), &scene, &page->body);
    } else if (view_eq_text(path, "/healthz")) { /* the loop turns: here is its answer */
        page->status = 200;
        buf_put_text(&page->body, "ok\n");
    } else if (view_eq_text(path, "/readyz")) {
        page->status = page_ready(door->router, now(), &page->body) ? 200 : 503;
    }
}

static void on_work(void *user, uint64_t us)
{
    struct router *router = user;

    metrics_took(&router->metrics.loop_time, us);
}

bool door_new(struct rpc_loop *loop, const char *where, struct router *router,
              struct door **ret_door, struct err *err)
{
    _cleanup_(door_freep) struct door *door = mem_new(struct door);
    struct rpc_http_listener listener = { .serve = serve, .user = door };
    _free_ char *host = NULL;

    if (!router_config_listen(where, &host, &listener.port))
        return err_set(err, ERR_BAD_CONFIG, "metrics: not an address");
    listener.host = host;
    door->router = router;
    door->started_at = clock_wall_ms();
    if (!rpc_http_new(loop, &listener, &door->http, err))
        return err_wrap(err, "metrics");
    rpc_loop_on_work(loop, on_work, router);
    log_event(LOG_INFO, "listening_metrics", "address=%s port=%u", host ? host : "*",
              (unsigned)rpc_http_port(door->http));
    *ret_door = STEAL(door);
    return true;
}

void door_free(struct door *door)
{
    if (!door)
        return;
    rpc_http_free(door->http);
    free(door);
}
