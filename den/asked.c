/* SPDX-License-Identifier: Apache-2.0 */
/* den.ca.sign up to the point where its signatures are known to be right: the identity's under the request, which the
 * signer looks at, for itself and for den; then the TLS key's under the CSR, in another thread where the port has one.
 * That is most of what a certificate costs, and den goes on meanwhile. */
#include "den/asked.h"

/* So many at once, of all together: some 20 MB. Who asks for the next one is told to come again. */
enum { MAX_BODY = PKI_MAX_CSR + 256, MAX_ASKED = 4096 };

static const char procedure[] = "den.ca.sign";

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
    list_init(&asked->stage);
    list_init(&asked->same);
    asked->core = core;
    asked->request = *request;
    asked->request.body = put(&asked->bytes, request->body);
    asked->request.statement = put(&asked->bytes, request->statement);
    asked->request.sig = put(&asked->bytes, request->sig);
    asked->invocation.caller_authid = put(&asked->bytes, call->caller_authid);
    asked->invocation.source = put(&asked->bytes, call->source);
    asked->inv = (struct rpc_inv){ .number = inv->number, .invocation = &asked->invocation };
    asked->job.order = (struct signer_order){
        .profile = PKI_PEER,
        .label = asked->request.who.id,
        .body = asked->request.body,
        .request = asked->request.statement,
        .sig = asked->request.sig,
        .pk = VIEW_ARR(asked->request.who.pk),
    };
    return asked;
}

void asked_drop(struct asked *asked)
{
    list_remove(&asked->node);
    list_remove(&asked->stage);
    asked->core->n_asked--;
    pki_csr_free(asked->csr);
    buf_free(&asked->job.der);
    buf_free(&asked->found);
    buf_free(&asked->bytes);
    free(asked);
}

void asked_refuse(struct asked *asked, const struct err *why)
{
    struct err err = *why;

    if (!asked->is_dropped) {
        err_wrap(&err, "certificate request");
        core_refuse_inv(asked->core, procedure, &asked->inv, &err);
    }
    asked_drop(asked);
}

static bool take_csr(const struct request *request, struct view *ret_csr, struct err *err)
{
    return rpc_map_bin(request->body, "csr", ret_csr) ||
           err_set(err, ERR_BAD_WIRE, "body: csr: missing, or not bytes");
}

/* ---- in the other thread ------------------------------------------------------------------------ */

struct looking { /* more than one, for what waking a thread costs */
    struct den_core *core;
    struct asked *some[ASKED_TOGETHER];
    size_t n;
};

static void look(void *user)
{
    const struct looking *looking = user;
    struct asked *asked[ASKED_TOGETHER];
    struct pki_csr *csrs[ASKED_TOGETHER];
    struct view ders[ASKED_TOGETHER] = { 0 };
    struct err errs[ASKED_TOGETHER];
    size_t n = 0;

    for (size_t i = 0; i < looking->n; i++) {
        asked[n] = looking->some[i];
        n += take_csr(&asked[n]->request, &ders[n], &asked[n]->err);
    }
    pki_csr_read_all(ders, n, csrs, errs);
    for (size_t i = 0; i < n; i++) {
        asked[i]->csr = csrs[i];
        asked[i]->err = errs[i];
    }
}

/* ---- on the loop -------------------------------------------------------------------------------- */

static bool take(struct asked *asked, struct err *err)
{
    if (!request_take_nonce(asked->core, &asked->request, err) ||
        !request_charge(asked->core, &asked->request, RATE_CSR, err))
        return false;
    if (!asked->csr) {
        *err = asked->err;
        return false;
    }
    return issue_take(asked, err);
}

static void go_on(struct asked *asked)
{
    struct err err = { 0 };

    if (asked->is_dropped)
        asked_drop(asked);
    else if (!take(asked, &err))
        asked_refuse(asked, &err);
}

static void on_looked(void *user)
{
    _free_ struct looking *looking = user;

    looking->core->n_looking--;
    for (size_t i = 0; i < looking->n; i++)
        go_on(looking->some[i]);
}

void asked_look(struct asked *const *some, size_t n)
{
    struct looking *looking = mem_new(struct looking);
    const struct den_port *port = some[0]->core->c.port;

    looking->core = some[0]->core;
    looking->n = n;
    memcpy(looking->some, some, n * sizeof(*some));
    looking->core->n_looking++;
    if (port->work) {
        port->work(port->user, look, on_looked, looking);
        return;
    }
    look(looking);
    on_looked(looking);
}

bool asked_sign(struct den_core *core, const struct rpc_inv *inv, struct rpc_fields *args,
                struct err *err)
{
    struct request request;
    struct asked *asked;
    struct view csr;

    if (!request_read(core, inv, args, MAX_BODY, RATE_CSR, &request, err) ||
        !request_match(core, &request, procedure, err) || !request_check_body(&request, err) ||
        !take_csr(&request, &csr, err))
        return err_wrap(err, "certificate request");
    if (core->n_asked == MAX_ASKED)
        return err_set(err, ERR_BUSY, "certificate request: too many at once; try again");
    asked = asked_new(core, inv, &request);
    list_append(&core->asked, &asked->node);
    core->n_asked++;
    issue_apply(asked);
    return true;
}

/* What is under way goes on: what was signed is recorded, for whoever asks again. */
void asked_down(struct den_core *core)
{
    struct asked *asked;

    LIST_EACH(asked, &core->asked, node)
        asked->is_dropped = true;
}

void asked_drop_all(struct den_core *core)
{
    struct asked *asked;

    signer_forget(core->c.signer);
    LIST_EACH(asked, &core->asked, node)
        asked_drop(asked);
}
