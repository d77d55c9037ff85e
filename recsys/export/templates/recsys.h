/* Recommending on a device: plain C99, no memory is allocated, nothing is needed but math.h.
 *
 * recsys_config.h holds the sizes, recsys_weights.h the numbers; both are written by `recsys export`. Scores are
 * logits: sigmoid(score), see recsys_probability, is the probability that the user acts on the content.
 *
 * Scoring takes about RECSYS_HIDDEN x (RECSYS_HEAD_UNITS + 4) + 12 x RECSYS_BLOCK floats of stack, 7 KiB at the usual 64,
 * 16 and 32, and 1 KiB more where embeddings are not stored as floats.
 *
 * GCC and clang compile the innermost loop of x86-64 three times, for SSE2, AVX2 and AVX-512, and the processor's best is
 * taken. Define RECSYS_PLAIN to have nothing but C99. The bits are the same.
 *
 * Contents, users and moods are named by their index, from 0; an index that is too large, such as RECSYS_NOT_FOUND, is
 * nobody and is never read from.
 */
#ifndef RECSYS_H
#define RECSYS_H

#include <stddef.h>
#include <stdint.h>

#include "recsys_config.h"

#ifdef __cplusplus
extern "C" {
#endif

#define RECSYS_NOT_FOUND UINT32_MAX
/* Bytes of a set of contents, one bit each. */
#define RECSYS_SET_BYTES ((RECSYS_NUM_CONTENTS + 7u) / 8u)

enum recsys_status {
    RECSYS_OK = 0,
    RECSYS_BAD_INDEX = 1,    /* there is no such user or mood */
    RECSYS_NO_TABLES = 2,    /* recsys_attach has not been called, or has failed */
    RECSYS_BAD_TABLES = 3,   /* recsys_attach: not the blob that was exported with these headers */
    RECSYS_MISALIGNED = 4    /* recsys_attach: the blob does not lie at a multiple of 4 bytes */
};

/* Tables of embeddings that are kept in a blob (`--blob`) rather than in recsys_weights.h: give its address, in flash or
 * mapped from a file, before anything else. It is not copied and must stay. Other exports need no call and accept any.
 */
int recsys_attach(const void *blob, size_t size);

/* From original ids to indices, by binary search; RECSYS_NOT_FOUND for ids that are not in the tables. */
uint32_t recsys_content_index(recsys_content_id_t id);
uint32_t recsys_user_index(recsys_user_id_t id);
uint32_t recsys_mood_index(const char *name);
/* And back; the index must be below RECSYS_NUM_CONTENTS, ..._USERS, ..._MOODS. */
recsys_content_id_t recsys_content_id(uint32_t content);
recsys_user_id_t recsys_user_id(uint32_t user);
const char *recsys_mood_name(uint32_t mood);

/* The embedding of a user of the table, and beside it what popularity counts for the user. */
int recsys_user_vector(uint32_t user, float vector[RECSYS_WIDTH]);

/* An embedding for somebody who is not in the table, from the contents that they met. Where recsys_config.h says
 * RECSYS_EMBED_EXACT, it is what the network would give; otherwise a regression, whose error stands in
 * recsys_export.json.
 *
 *   contents  [n] indices; those beyond the table are skipped
 *   types     [n] indices of event types, see RECSYS_EVENT_TYPES, or NULL if all are of type 0; types only count where
 *             the embedding is exact
 * Returns how many of the contents were used. With 0, the vector is that of somebody of whom nothing is known: asking
 * for a mood is better.
 */
uint32_t recsys_embed_user(const uint32_t *contents, const uint8_t *types, uint32_t n, float vector[RECSYS_WIDTH]);

/* Logits of all contents for a user's embedding or for a mood. `user` is the index of the user of the table whose paths
 * to contents count, RECSYS_NOT_FOUND for somebody else, whose logits lack what paths say.
 */
int recsys_score_user(const float vector[RECSYS_WIDTH], uint32_t user, float scores[RECSYS_NUM_CONTENTS]);
int recsys_score_mood(uint32_t mood, float scores[RECSYS_NUM_CONTENTS]);

/* The k best contents in falling order; of equal scores the lower index comes first.
 *
 *   seen      set of contents to leave out, or NULL; scores that are NaN or -infinity are left out too
 *   contents  [k] receives the indices
 *   best      [k] receives their scores
 * Returns their number, less than k where there are not enough.
 */
uint32_t recsys_top_k(const float scores[RECSYS_NUM_CONTENTS], const uint8_t *seen, uint32_t k, uint32_t *contents,
                      float *best);

/* Scoring and ranking at once: the same answer without room for all scores, and faster, since contents that cannot be
 * among the best are not scored to the end.
 */
uint32_t recsys_recommend_user(const float vector[RECSYS_WIDTH], uint32_t user, const uint8_t *seen, uint32_t k,
                               uint32_t *contents, float *best);
uint32_t recsys_recommend_mood(uint32_t mood, const uint8_t *seen, uint32_t k, uint32_t *contents, float *best);

/* Add a content, or all contents that a user of the table had met at the time of the export, to a set. */
void recsys_mark_seen(uint8_t seen[RECSYS_SET_BYTES], uint32_t content);
void recsys_mark_history(uint8_t seen[RECSYS_SET_BYTES], uint32_t user);

/* 1 / (1 + exp(-logit)), without overflow. */
float recsys_probability(float logit);

#ifdef __cplusplus
}
#endif

#endif
