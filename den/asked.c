/* SPDX-License-Identifier: Apache-2.0 */
/* den.ca.sign up to the point where its signatures are known to be right: the identity's under the request, the TLS
 * key's under the CSR. Looking at them is most of what a certificate costs, so it is done in another thread where the
 * port has one, and den goes on meanwhile. */
#include "den/core_in.h"

/* So many at once, of all together: some 20 MB. Who asks for the next one is told to come again. */
enum { MAX_BODY = PKI_MAX_CSR + 256, MAX_ASKED = 4096 };

static const char procedure[] = "den.ca.sign";

struct asked {
    struct list node;
    struct den_core *core;
    struct buf bytes; /* what the views below borrow from */
    struct rpc_invocation invocation;
    struct rpc_inv inv;
    struct request request;
    bool is_dropped; /* who asked is gone */
    /* The other thread's, until it is done: */
    bool is_signed;
    struct pki_csr *csr; /* NULL: `err` says why */
    struct err err;
};

static void asked_free(struct asked *asked)
{
    if (!asked)
        return;
    pki_csr_free(asked->csr);
    buf_free(&asked->bytes);
    free(asked);
}

static struct view put(struct buf *to, struct view bytes)
{
    size_t start = to->len;

    buf_put(to, bytes);
    return view_sub(buf_view(to), start, to->len);
}

static struct asked *asked_new(struct den_core *core, const struct rpc_inv *inv,
                               const struct request *request)
{
    const struct rpc_invocation *call = inv->invocation;
    struct asked *asked = mem_new(struct asked);
    size_t n = request->body.len + request->statement.len + request->sig.len +
               call->caller_authid.len + call->source.len;

    buf_grow(&asked->bytes, n + 1); /* room for all: it never moves */
    buf_clear(&asked->bytes);
    asked->core = core;
    asked->request = *request;
    asked->request.body = put(&asked->bytes, request->body);
    asked->request.statement = put(&asked->bytes, request->statement);
    asked->request.sig = put(&asked->bytes, request->sig);
    asked->invocation.caller_authid = put(&asked->bytes, call->caller_authid);
    asked->invocation.source = put(&asked->bytes, call->source);
    asked->inv = (struct rpc_inv){ .number = inv->number, .invocation = &asked->invocation };
    return asked;
}

static void asked_drop(struct asked *asked)
{
    list_remove(&asked->node);
    asked->core->n_asked--;
    asked_free(asked);
}

/* ---- in the other thread ------------------------------------------------------------------------ */

static void look(void *user)
{
    struct asked *asked = user;
    const struct request *request = &asked->request;
    struct view csr;

    asked->is_signed = request_verify(request, &asked->err);
    if (!asked->is_signed || !request_check_body(request, &asked->err))
        return;
    if (!rpc_map_bin(request->body, "csr", &csr))
        err_set(&asked->err, ERR_BAD_WIRE, "body: csr: missing, or not bytes");
    else
        pki_csr_read(csr, &asked->csr, &asked->err);
}

/* ---- on the loop -------------------------------------------------------------------------------- */

static bool take(struct asked *asked, struct err *err)
{
    if (asked->is_signed && !request_accept(asked->core, &asked->request, procedure, err))
        return false;
    if (!asked->csr) {
        *err = asked->err;
        return false;
    }
    return issue_take(asked->core, asked->inv.number, &asked->request, &asked->csr, err);
}

static void on_looked(void *user)
{
    struct asked *asked = user;
    struct err err = { 0 };

    if (!asked->is_dropped && !take(asked, &err)) {
        err_wrap(&err, "certificate request");
        core_refuse_inv(asked->core, procedure, &asked->inv, &err);
    }
    asked_drop(asked);
}

bool asked_sign(struct den_core *core, const struct rpc_inv *inv, struct rpc_fields *args,
                struct err *err)
{
    const struct den_port *port = core->c.port;
    struct request request;
    struct asked *asked;

    if (!request_read(core, inv, args, MAX_BODY, RATE_CSR, &request, err))
        return err_wrap(err, "certificate request");
    if (core->n_asked == MAX_ASKED)
        return err_set(err, ERR_BUSY, "certificate request: too many at once; try again");
    asked = asked_new(core, inv, &request);
    list_append(&core->asked, &asked->node);
    core->n_asked++;
    if (port->work)
        port->work(port->user, look, on_looked, asked);
    else {
        look(asked);
        on_looked(asked);
    }
    return true;
}

void asked_down(struct den_core *core)
{
    struct asked *asked;

    LIST_EACH(asked, &core->asked, node)
        asked->is_dropped = true;
}
