/* SPDX-License-Identifier: Apache-2.0 */
#include "peer/sas.h"

void sas_commit(struct sas *sas, const uint8_t number[HASH_SIZE], uint8_t ret_commitment[HASH_SIZE])
{
    memcpy(sas->ours, number, HASH_SIZE);
    sas->has_committed = true;
    hash_sha256(VIEW_ARR(sas->ours), ret_commitment);
}

bool sas_input(struct sas *sas, struct view bytes, struct err *err)
{
    uint8_t hash[HASH_SIZE];

    if (bytes.len != HASH_SIZE || sas->is_done)
        return err_set(err, ERR_BAD_WIRE, "short authentication string: one try is all there is");
    if (!sas->has_theirs) {
        memcpy(sas->commitment, bytes.data, HASH_SIZE);
        sas->has_theirs = true;
        return true;
    }
    hash_sha256(bytes, hash);
    if (!view_eq_secret(VIEW_ARR(hash), VIEW_ARR(sas->commitment)))
        return err_set(err, ERR_BAD_WIRE,
                       "short authentication string: the other side opened another number than it "
                       "had committed to");
    memcpy(sas->theirs, bytes.data, HASH_SIZE);
    sas->is_done = true;
    return true;
}

/* The first 20 bits of SHA-256("warren/1 sas" 0x00 | exporter | n of the caller | n of the callee), in Crockford's base32. */
void sas_text(const struct sas *sas, bool is_caller, struct view exporter, char ret_text[SAS_TEXT])
{
    static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    struct view ours = VIEW_ARR(sas->ours), theirs = VIEW_ARR(sas->theirs);
    uint8_t hash[HASH_SIZE];
    _buf_ text = { 0 };
    uint32_t bits;

    buf_put(&text, VIEW_LIT("warren/1 sas"));
    buf_put_u8(&text, 0);
    buf_put(&text, exporter);
    buf_put(&text, is_caller ? ours : theirs);
    buf_put(&text, is_caller ? theirs : ours);
    hash_sha256(buf_view(&text), hash);
    bits = (uint32_t)hash[0] << 12 | (uint32_t)hash[1] << 4 | (uint32_t)hash[2] >> 4;
    for (int i = 0; i < SAS_TEXT - 1; i++)
        ret_text[i] = digits[bits >> (15 - 5 * i) & 31];
    ret_text[SAS_TEXT - 1] = '\0';
}
