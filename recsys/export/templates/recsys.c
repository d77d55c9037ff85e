/* See recsys.h. Matrices are stored transposed, [inputs][outputs]: the inner loops run over outputs, whose number the
 * compiler knows, and so become vector instructions without any option that changes rounding.
 */
#include "recsys.h"

#include <math.h>
#include <string.h>

#include "recsys_weights.h"

/* Scores that recsys_recommend_* computes at a time. */
#define TILE 32u

/* y = x W + b, for constant sizes that are multiples of 8; W is [INPUTS][OUTPUTS]. */
#define DEFINE_AFFINE(NAME, INPUTS, OUTPUTS)                                                                           \
    static void NAME(const float *restrict x, const float *restrict weight, const float *restrict bias,                \
                     float *restrict y)                                                                                \
    {                                                                                                                  \
        float sum[OUTPUTS];                                                                                            \
        for (uint32_t k = 0; k < OUTPUTS; k++) {                                                                       \
            sum[k] = bias[k];                                                                                          \
        }                                                                                                              \
        for (uint32_t j = 0; j < INPUTS; j += 8) {                                                                     \
            const float x0 = x[j], x1 = x[j + 1], x2 = x[j + 2], x3 = x[j + 3];                                        \
            const float x4 = x[j + 4], x5 = x[j + 5], x6 = x[j + 6], x7 = x[j + 7];                                    \
            const float *restrict w = weight + (size_t)j * OUTPUTS;                                                    \
            const float *restrict v = w + 4 * OUTPUTS;                                                                 \
            for (uint32_t k = 0; k < OUTPUTS; k++) {                                                                   \
                sum[k] += ((x0 * w[k] + x1 * w[OUTPUTS + k]) + (x2 * w[2 * OUTPUTS + k] + x3 * w[3 * OUTPUTS + k])) +  \
                          ((x4 * v[k] + x5 * v[OUTPUTS + k]) + (x6 * v[2 * OUTPUTS + k] + x7 * v[3 * OUTPUTS + k]));   \
            }                                                                                                          \
        }                                                                                                              \
        memcpy(y, sum, sizeof sum);                                                                                    \
    }

/* ---- tables ---------------------------------------------------------------------------------------------------- */

#if RECSYS_BLOB
static const unsigned char *blob_tables = NULL;

#define TABLE(TYPE, NAME) ((const TYPE *)(const void *)(blob_tables + RECSYS_OFFSET_##NAME))
#define HAS_TABLES (blob_tables != NULL)
#else
#define TABLE(TYPE, NAME) recsys_##NAME
#define HAS_TABLES 1
#endif

int recsys_attach(const void *blob, size_t size)
{
#if RECSYS_BLOB
    static const unsigned char expected[RECSYS_BLOB_HEADER_BYTES] = RECSYS_BLOB_HEADER;
    const uint32_t order = RECSYS_BLOB_ORDER;

    blob_tables = NULL;
    if (blob == NULL || size != RECSYS_BLOB_BYTES || memcmp(blob, expected, sizeof expected) != 0 ||
        memcmp(expected + RECSYS_BLOB_ORDER_AT, &order, sizeof order) != 0) {
        return RECSYS_BAD_TABLES;
    }
    if ((uintptr_t)blob % 4u != 0) {
        return RECSYS_MISALIGNED;
    }
    blob_tables = blob;
#else
    (void)blob;
    (void)size;
#endif
    return RECSYS_OK;
}

#if RECSYS_STORAGE == RECSYS_FLOAT16
typedef uint16_t stored;

/* IEEE 754 binary16, subnormal numbers included. */
static float from_half(uint16_t half)
{
    const uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
    const uint32_t exponent = (half >> 10) & 0x1fu;
    const uint32_t fraction = half & 0x3ffu;
    uint32_t bits;
    float value;

    if (exponent == 0) {
        value = (float)fraction * 5.9604644775390625e-08f; /* 2^-24 */
        return sign ? -value : value;
    }
    bits = sign | ((exponent + 112u) << 23) | (fraction << 13);
    memcpy(&value, &bits, sizeof value);
    return value;
}
#elif RECSYS_STORAGE == RECSYS_INT8
typedef int8_t stored;
#else
typedef float stored;
#endif

/* Row `index` of a table as floats: the row itself, or `room` with what it stands for. `scale` is only used by int8. */
static const float *row_of(const stored *table, const float *scale, size_t index, float room[RECSYS_HIDDEN])
{
    const stored *row = table + index * RECSYS_HIDDEN;
#if RECSYS_STORAGE == RECSYS_FLOAT32
    (void)scale;
    (void)room;
    return row;
#elif RECSYS_STORAGE == RECSYS_FLOAT16
    (void)scale;
    for (uint32_t j = 0; j < RECSYS_HIDDEN; j++) {
        room[j] = from_half(row[j]);
    }
    return room;
#else
    for (uint32_t j = 0; j < RECSYS_HIDDEN; j++) {
        room[j] = (float)row[j] * scale[index];
    }
    return room;
#endif
}

#if RECSYS_STORAGE == RECSYS_INT8
#define SCALE(NAME) TABLE(float, NAME)
#else
#define SCALE(NAME) NULL
#endif
#define CONTENT_ROW(INDEX, ROOM) row_of(TABLE(stored, contents), SCALE(contents_scale), INDEX, ROOM)

int recsys_user_vector(uint32_t user, float vector[RECSYS_HIDDEN])
{
#if RECSYS_NUM_USERS > 0
    const float *row;

    if (user >= RECSYS_NUM_USERS) {
        return RECSYS_BAD_INDEX;
    }
    if (!HAS_TABLES) {
        return RECSYS_NO_TABLES;
    }
    row = row_of(TABLE(stored, users), SCALE(users_scale), user, vector);
    if (row != vector) {
        memcpy(vector, row, RECSYS_HIDDEN * sizeof *vector);
    }
    return RECSYS_OK;
#else
    (void)user;
    (void)vector;
    return RECSYS_BAD_INDEX;
#endif
}

/* ---- scoring --------------------------------------------------------------------------------------------------- */

#if RECSYS_HEAD == RECSYS_HADAMARD
DEFINE_AFFINE(project, RECSYS_HIDDEN, RECSYS_HIDDEN)
DEFINE_AFFINE(head_units, RECSYS_HIDDEN, RECSYS_HEAD_UNITS)

/* A user's side of the head: logit(c) = w^T ReLU(c M + m) + b', for all contents c. */
typedef struct {
    float weight[RECSYS_HIDDEN * RECSYS_HEAD_UNITS]; /* M */
    float bias[RECSYS_HEAD_UNITS];                   /* m */
} user_side;

/* W (P_u u * (P_c c + p)) + b = (W diag(P_u u) P_c) c + (W (P_u u * p) + b): everything but c is known now. */
static void prepare_user(const float *restrict vector, user_side *restrict side)
{
    float user[RECSYS_HIDDEN], product[RECSYS_HIDDEN];

    project(vector, recsys_head_user_weight, recsys_head_user_bias, user);
    for (uint32_t j = 0; j < RECSYS_HIDDEN; j++) {
        product[j] = user[j] * recsys_head_content_bias[j];
    }
    head_units(product, recsys_head_inner_weight, recsys_head_inner_bias, side->bias);
    for (uint32_t i = 0; i < RECSYS_HIDDEN; i++) {
        static const float zero[RECSYS_HEAD_UNITS] = {0.0f};
        for (uint32_t j = 0; j < RECSYS_HIDDEN; j++) {
            product[j] = user[j] * recsys_head_content_weight[(size_t)i * RECSYS_HIDDEN + j];
        }
        head_units(product, recsys_head_inner_weight, zero, side->weight + (size_t)i * RECSYS_HEAD_UNITS);
    }
}

static float score_content(const user_side *restrict side, const float *restrict content)
{
    float units[RECSYS_HEAD_UNITS];
    float logit = 0.0f;

    head_units(content, side->weight, side->bias, units);
    for (uint32_t k = 0; k < RECSYS_HEAD_UNITS; k++) {
        logit += recsys_head_outer_weight[k] * (units[k] > 0.0f ? units[k] : 0.0f);
    }
    return logit + RECSYS_HEAD_BIAS;
}
#else
/* logit(c) = u^T c / sqrt(hidden) + b */
typedef struct {
    float vector[RECSYS_HIDDEN];
} user_side;

static void prepare_user(const float *restrict vector, user_side *restrict side)
{
    memcpy(side->vector, vector, sizeof side->vector);
}

static float score_content(const user_side *restrict side, const float *restrict content)
{
    const float *restrict user = side->vector;
    float sum0 = 0.0f, sum1 = 0.0f, sum2 = 0.0f, sum3 = 0.0f, sum4 = 0.0f, sum5 = 0.0f, sum6 = 0.0f, sum7 = 0.0f;

    for (uint32_t j = 0; j < RECSYS_HIDDEN; j += 8) {
        sum0 += user[j] * content[j];
        sum1 += user[j + 1] * content[j + 1];
        sum2 += user[j + 2] * content[j + 2];
        sum3 += user[j + 3] * content[j + 3];
        sum4 += user[j + 4] * content[j + 4];
        sum5 += user[j + 5] * content[j + 5];
        sum6 += user[j + 6] * content[j + 6];
        sum7 += user[j + 7] * content[j + 7];
    }
    return (((sum0 + sum1) + (sum2 + sum3)) + ((sum4 + sum5) + (sum6 + sum7))) * RECSYS_HEAD_SCALE + RECSYS_HEAD_BIAS;
}
#endif

/* Scores of contents [first, last). */
static void score_user_range(const user_side *restrict side, uint32_t first, uint32_t last, float *restrict scores)
{
    float room[RECSYS_HIDDEN];

    for (uint32_t c = first; c < last; c++) {
        scores[c - first] = score_content(side, CONTENT_ROW(c, room));
    }
}

int recsys_score_user(const float vector[RECSYS_HIDDEN], float scores[RECSYS_NUM_CONTENTS])
{
    user_side side;

    if (!HAS_TABLES) {
        return RECSYS_NO_TABLES;
    }
    prepare_user(vector, &side);
    score_user_range(&side, 0, RECSYS_NUM_CONTENTS, scores);
    return RECSYS_OK;
}

#if RECSYS_NUM_MOODS > 0
DEFINE_AFFINE(mood_units, RECSYS_HIDDEN, RECSYS_MOOD_UNITS)

/* logit(c) = w^T ReLU(mood's half + c' W_c) + b', where c' is c with the length sqrt(hidden). */
static float score_mood_content(const float *restrict mood, const float *restrict content)
{
    float direction[RECSYS_HIDDEN], units[RECSYS_MOOD_UNITS];
    float squares = 0.0f, logit = 0.0f, length;

    for (uint32_t j = 0; j < RECSYS_HIDDEN; j++) {
        squares += content[j] * content[j];
    }
    length = sqrtf(squares);
    if (length < 1e-12f) {
        length = 1e-12f;
    }
    for (uint32_t j = 0; j < RECSYS_HIDDEN; j++) {
        direction[j] = content[j] / length * RECSYS_MOOD_LENGTH;
    }
    mood_units(direction, recsys_mood_content_weight, mood, units);
    for (uint32_t k = 0; k < RECSYS_MOOD_UNITS; k++) {
        logit += recsys_mood_outer_weight[k] * (units[k] > 0.0f ? units[k] : 0.0f);
    }
    return logit + RECSYS_MOOD_BIAS;
}

static void score_mood_range(uint32_t mood, uint32_t first, uint32_t last, float *restrict scores)
{
    const float *half = recsys_moods + (size_t)mood * RECSYS_MOOD_UNITS;
    float room[RECSYS_HIDDEN];

    for (uint32_t c = first; c < last; c++) {
        scores[c - first] = score_mood_content(half, CONTENT_ROW(c, room));
    }
}
#endif

int recsys_score_mood(uint32_t mood, float scores[RECSYS_NUM_CONTENTS])
{
#if RECSYS_NUM_MOODS > 0
    if (mood >= RECSYS_NUM_MOODS) {
        return RECSYS_BAD_INDEX;
    }
    if (!HAS_TABLES) {
        return RECSYS_NO_TABLES;
    }
    score_mood_range(mood, 0, RECSYS_NUM_CONTENTS, scores);
    return RECSYS_OK;
#else
    (void)mood;
    (void)scores;
    return RECSYS_BAD_INDEX;
#endif
}

/* 1 / (1 + exp(-logit)), without overflow. */
float recsys_probability(float logit)
{
    const float shrunk = expf(-fabsf(logit));

    return logit < 0.0f ? shrunk / (1.0f + shrunk) : 1.0f / (1.0f + shrunk);
}

/* ---- ranking --------------------------------------------------------------------------------------------------- */

/* The best so far, as a heap whose root is the worst of them. */
typedef struct {
    uint32_t *contents;
    float *scores;
    uint32_t size;
    uint32_t capacity;
} heap;

static int is_worse(float score, uint32_t content, float other_score, uint32_t other)
{
    return score < other_score || (score == other_score && content > other);
}

static void put(heap *best, uint32_t place, float score, uint32_t content)
{
    best->scores[place] = score;
    best->contents[place] = content;
}

/* Let (score, content) sink from the root of the first `size` places. */
static void sink(heap *best, uint32_t size, float score, uint32_t content)
{
    uint32_t place = 0;

    while (place < size / 2) { /* has a child */
        uint32_t child = 2 * place + 1;
        if (child + 1 < size &&
            is_worse(best->scores[child + 1], best->contents[child + 1], best->scores[child], best->contents[child])) {
            child++;
        }
        if (!is_worse(best->scores[child], best->contents[child], score, content)) {
            break;
        }
        put(best, place, best->scores[child], best->contents[child]);
        place = child;
    }
    put(best, place, score, content);
}

static void rise(heap *best, float score, uint32_t content)
{
    uint32_t place = best->size++;

    while (place > 0) {
        const uint32_t parent = (place - 1) / 2;
        if (!is_worse(score, content, best->scores[parent], best->contents[parent])) {
            break;
        }
        put(best, place, best->scores[parent], best->contents[parent]);
        place = parent;
    }
    put(best, place, score, content);
}

static int is_seen(const uint8_t *seen, uint32_t content)
{
    return seen != NULL && (seen[content / 8u] >> (content % 8u) & 1u) != 0;
}

/* Offer the contents [first, last), in rising order, to the heap. */
static void offer(heap *best, const float *scores, uint32_t first, uint32_t last, const uint8_t *seen)
{
    for (uint32_t c = first; c < last; c++) {
        const float score = scores[c - first];
        if (best->size == best->capacity) {
            /* Not better than the worst; an equal score loses, since the content comes later. False for NaN too. */
            if (best->capacity > 0 && score > best->scores[0] && !is_seen(seen, c)) {
                sink(best, best->size, score, c);
            }
        } else if (score > -INFINITY && !is_seen(seen, c)) {
            rise(best, score, c);
        }
    }
}

/* From a heap to falling order. */
static uint32_t sorted(heap *best)
{
    for (uint32_t size = best->size; size > 1; size--) {
        const float score = best->scores[size - 1];
        const uint32_t content = best->contents[size - 1];
        put(best, size - 1, best->scores[0], best->contents[0]);
        sink(best, size - 1, score, content);
    }
    return best->size;
}

uint32_t recsys_top_k(const float scores[RECSYS_NUM_CONTENTS], const uint8_t *seen, uint32_t k, uint32_t *contents,
                      float *best)
{
    heap found = {contents, best, 0, k};

    offer(&found, scores, 0, RECSYS_NUM_CONTENTS, seen);
    return sorted(&found);
}

static uint32_t tile_end(uint32_t first)
{
    return RECSYS_NUM_CONTENTS - first < TILE ? RECSYS_NUM_CONTENTS : first + TILE;
}

uint32_t recsys_recommend_user(const float vector[RECSYS_HIDDEN], const uint8_t *seen, uint32_t k, uint32_t *contents,
                               float *best)
{
    heap found = {contents, best, 0, k};
    user_side side;
    float scores[TILE];

    if (!HAS_TABLES) {
        return 0;
    }
    prepare_user(vector, &side);
    for (uint32_t first = 0; first < RECSYS_NUM_CONTENTS; first += TILE) {
        score_user_range(&side, first, tile_end(first), scores);
        offer(&found, scores, first, tile_end(first), seen);
    }
    return sorted(&found);
}

uint32_t recsys_recommend_mood(uint32_t mood, const uint8_t *seen, uint32_t k, uint32_t *contents, float *best)
{
#if RECSYS_NUM_MOODS > 0
    heap found = {contents, best, 0, k};
    float scores[TILE];

    if (mood >= RECSYS_NUM_MOODS || !HAS_TABLES) {
        return 0;
    }
    for (uint32_t first = 0; first < RECSYS_NUM_CONTENTS; first += TILE) {
        score_mood_range(mood, first, tile_end(first), scores);
        offer(&found, scores, first, tile_end(first), seen);
    }
    return sorted(&found);
#else
    (void)mood;
    (void)seen;
    (void)k;
    (void)contents;
    (void)best;
    return 0;
#endif
}

void recsys_mark_seen(uint8_t seen[RECSYS_SET_BYTES], uint32_t content)
{
    if (content < RECSYS_NUM_CONTENTS) {
        seen[content / 8u] = (uint8_t)(seen[content / 8u] | 1u << content % 8u);
    }
}

void recsys_mark_history(uint8_t seen[RECSYS_SET_BYTES], uint32_t user)
{
#if RECSYS_NUM_USERS > 0
    if (user < RECSYS_NUM_USERS) {
        for (uint32_t i = recsys_history_start[user]; i < recsys_history_start[user + 1]; i++) {
            recsys_mark_seen(seen, recsys_history[i]);
        }
    }
#else
    (void)seen;
    (void)user;
#endif
}

/* ---- users who are not in the table ---------------------------------------------------------------------------- */

#if RECSYS_EMBED == RECSYS_EMBED_EXACT
DEFINE_AFFINE(user_layer, RECSYS_HIDDEN, RECSYS_HIDDEN)

/* total += mean over the history's contents of one type, at this layer, W_type. */
static void add_mean(const uint32_t *contents, const uint8_t *types, uint32_t n, uint32_t type, uint32_t layer,
                     float *restrict total)
{
    const float *weight = recsys_embed_event_weight +
                          ((size_t)layer * RECSYS_NUM_EVENT_TYPES + type) * RECSYS_HIDDEN * RECSYS_HIDDEN;
    float room[RECSYS_HIDDEN], mean[RECSYS_HIDDEN] = {0.0f};
    uint32_t count = 0;

    for (uint32_t i = 0; i < n; i++) {
        if (contents[i] < RECSYS_NUM_CONTENTS && (types == NULL ? 0u : types[i]) == type) {
            const float *row = row_of(TABLE(stored, embed_states), SCALE(embed_states_scale),
                                      (size_t)layer * RECSYS_NUM_CONTENTS + contents[i], room);
            for (uint32_t j = 0; j < RECSYS_HIDDEN; j++) {
                mean[j] += row[j];
            }
            count++;
        }
    }
    if (count > 0) {
        for (uint32_t j = 0; j < RECSYS_HIDDEN; j++) {
            mean[j] /= (float)count;
        }
        memcpy(room, total, sizeof room);
        user_layer(mean, weight, room, total);
    }
}

/* h + act(LayerNorm(W h + b + sum over types of W_t mean of the contents)), once a layer. */
uint32_t recsys_embed_user(const uint32_t *contents, const uint8_t *types, uint32_t n, float vector[RECSYS_HIDDEN])
{
    uint32_t used = 0;

    memcpy(vector, recsys_embed_first, RECSYS_HIDDEN * sizeof *vector);
    if (!HAS_TABLES) {
        return 0;
    }
    for (uint32_t i = 0; i < n; i++) {
        used += contents[i] < RECSYS_NUM_CONTENTS && (types == NULL ? 0u : types[i]) < RECSYS_NUM_EVENT_TYPES;
    }
    for (uint32_t layer = 0; layer < RECSYS_EMBED_LAYERS; layer++) {
        const float *scale = recsys_embed_norm_weight + (size_t)layer * RECSYS_HIDDEN;
        const float *shift = recsys_embed_norm_bias + (size_t)layer * RECSYS_HIDDEN;
        float total[RECSYS_HIDDEN], mean = 0.0f, variance = 0.0f;

        user_layer(vector, recsys_embed_root_weight + (size_t)layer * RECSYS_HIDDEN * RECSYS_HIDDEN,
                   recsys_embed_root_bias + (size_t)layer * RECSYS_HIDDEN, total);
        for (uint32_t type = 0; type < RECSYS_NUM_EVENT_TYPES; type++) {
            add_mean(contents, types, n, type, layer, total);
        }
        for (uint32_t j = 0; j < RECSYS_HIDDEN_USED; j++) {
            mean += total[j] / (float)RECSYS_HIDDEN_USED;
        }
        for (uint32_t j = 0; j < RECSYS_HIDDEN_USED; j++) {
            variance += (total[j] - mean) * (total[j] - mean) / (float)RECSYS_HIDDEN_USED;
        }
        for (uint32_t j = 0; j < RECSYS_HIDDEN_USED; j++) {
            const float update = (total[j] - mean) / sqrtf(variance + RECSYS_EMBED_EPSILON) * scale[j] + shift[j];
            vector[j] += recsys_embed_activate[layer] && !(update > 0.0f) ? 0.0f : update;
        }
    }
    return used;
}
#else
DEFINE_AFFINE(regress, RECSYS_EMBED_INPUTS, RECSYS_HIDDEN)

/* A regression on the mean of the contents' embeddings and log(1 + their number), less what is usual. */
uint32_t recsys_embed_user(const uint32_t *contents, const uint8_t *types, uint32_t n, float vector[RECSYS_HIDDEN])
{
    float room[RECSYS_HIDDEN], inputs[RECSYS_EMBED_INPUTS] = {0.0f};
    uint32_t used = 0;

    (void)types;
    memcpy(vector, recsys_embed_usual, RECSYS_HIDDEN * sizeof *vector);
    if (!HAS_TABLES) {
        return 0;
    }
    for (uint32_t i = 0; i < n; i++) {
        if (contents[i] < RECSYS_NUM_CONTENTS) {
            const float *row = CONTENT_ROW(contents[i], room);
            for (uint32_t j = 0; j < RECSYS_HIDDEN; j++) {
                inputs[j] += row[j];
            }
            used++;
        }
    }
    if (used > 0) {
        for (uint32_t j = 0; j < RECSYS_HIDDEN; j++) {
            inputs[j] = inputs[j] / (float)used - recsys_embed_usual_inputs[j];
        }
        inputs[RECSYS_HIDDEN] = logf(1.0f + (float)used) - recsys_embed_usual_inputs[RECSYS_HIDDEN];
        regress(inputs, recsys_embed_weight, recsys_embed_usual, vector);
    }
    return used;
}
#endif

/* ---- ids ------------------------------------------------------------------------------------------------------- */

#define LESS_INT(A, B) ((A) < (B))
#define LESS_TEXT(A, B) (strcmp((A), (B)) < 0)

/* The index of `id` among `n` ids, which `order` brings into rising order. */
#define FIND(IDS, ORDER, N, ID, LESS)                                                                                  \
    do {                                                                                                              \
        uint32_t low = 0, high = (N);                                                                                 \
        while (low < high) {                                                                                          \
            const uint32_t middle = low + (high - low) / 2;                                                           \
            if (LESS((IDS)[(ORDER)[middle]], (ID))) {                                                                 \
                low = middle + 1;                                                                                     \
            } else {                                                                                                  \
                high = middle;                                                                                        \
            }                                                                                                         \
        }                                                                                                             \
        return low < (N) && !LESS((ID), (IDS)[(ORDER)[low]]) ? (ORDER)[low] : RECSYS_NOT_FOUND;                       \
    } while (0)

uint32_t recsys_content_index(recsys_content_id_t id)
{
#if RECSYS_CONTENT_IDS_ARE_TEXT
    FIND(recsys_content_ids, recsys_content_order, RECSYS_NUM_CONTENTS, id, LESS_TEXT);
#else
    FIND(recsys_content_ids, recsys_content_order, RECSYS_NUM_CONTENTS, id, LESS_INT);
#endif
}

recsys_content_id_t recsys_content_id(uint32_t content)
{
    return recsys_content_ids[content];
}

#if RECSYS_NUM_USERS > 0
uint32_t recsys_user_index(recsys_user_id_t id)
{
#if RECSYS_USER_IDS_ARE_TEXT
    FIND(recsys_user_ids, recsys_user_order, RECSYS_NUM_USERS, id, LESS_TEXT);
#else
    FIND(recsys_user_ids, recsys_user_order, RECSYS_NUM_USERS, id, LESS_INT);
#endif
}

recsys_user_id_t recsys_user_id(uint32_t user)
{
    return recsys_user_ids[user];
}
#else
uint32_t recsys_user_index(recsys_user_id_t id)
{
    (void)id;
    return RECSYS_NOT_FOUND;
}

recsys_user_id_t recsys_user_id(uint32_t user)
{
    (void)user;
    return (recsys_user_id_t)0;
}
#endif

#if RECSYS_NUM_MOODS > 0
uint32_t recsys_mood_index(const char *name)
{
    for (uint32_t mood = 0; mood < RECSYS_NUM_MOODS; mood++) {
        if (strcmp(recsys_mood_names[mood], name) == 0) {
            return mood;
        }
    }
    return RECSYS_NOT_FOUND;
}

const char *recsys_mood_name(uint32_t mood)
{
    return recsys_mood_names[mood];
}
#else
uint32_t recsys_mood_index(const char *name)
{
    (void)name;
    return RECSYS_NOT_FOUND;
}

const char *recsys_mood_name(uint32_t mood)
{
    (void)mood;
    return NULL;
}
#endif
