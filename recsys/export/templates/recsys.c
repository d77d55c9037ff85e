/* See recsys.h. The inner loops run over contents or outputs, whose number the compiler knows, and so become vector
 * instructions without any option that changes rounding.
 */
#include "recsys.h"

#include <math.h>
#include <string.h>

#include "recsys_weights.h"

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

/* VALUE(NAME, PLACE, ROW): what the number at a place of a table stands for, which belongs to the given row. */
#if RECSYS_STORAGE == RECSYS_FLOAT32
#define VALUE(NAME, PLACE, ROW) TABLE(float, NAME)[PLACE]
#elif RECSYS_STORAGE == RECSYS_FLOAT16
#define VALUE(NAME, PLACE, ROW) from_half(TABLE(uint16_t, NAME)[PLACE])
#else
#define VALUE(NAME, PLACE, ROW) ((float)TABLE(int8_t, NAME)[PLACE] * TABLE(float, NAME##_scale)[ROW])
#endif
/* EXTRA(NAME, PLACE): the same for what is beside the embeddings, which is never rounded to int8. */
#if RECSYS_STORAGE == RECSYS_FLOAT32
#define EXTRA(NAME, PLACE) TABLE(float, NAME##_extra)[PLACE]
#else
#define EXTRA(NAME, PLACE) from_half(TABLE(uint16_t, NAME##_extra)[PLACE])
#endif

#if RECSYS_STORAGE != RECSYS_FLOAT32
/* IEEE 754 binary16, finite: with its bits in a float's places only the exponent is 112 too small, of subnormals too. */
static float from_half(uint16_t half)
{
    const uint32_t bits = (uint32_t)(half & 0x8000u) << 16 | (uint32_t)(half & 0x7fffu) << 13;
    float shrunk;

    memcpy(&shrunk, &bits, sizeof shrunk);
    return shrunk * 5.192296858534828e+33f; /* 2^112 */
}
#endif

int recsys_user_vector(uint32_t user, float vector[RECSYS_WIDTH])
{
#if RECSYS_NUM_USERS > 0
    if (user >= RECSYS_NUM_USERS) {
        return RECSYS_BAD_INDEX;
    }
    if (!HAS_TABLES) {
        return RECSYS_NO_TABLES;
    }
    for (uint32_t j = 0; j < RECSYS_HIDDEN; j++) {
        vector[j] = VALUE(users, (size_t)user * RECSYS_HIDDEN + j, user);
    }
    for (uint32_t j = 0; j < RECSYS_EXTRA; j++) {
        vector[RECSYS_HIDDEN + j] = EXTRA(users, (size_t)user * RECSYS_EXTRA + j);
    }
    return RECSYS_OK;
#else
    (void)user;
    (void)vector;
    return RECSYS_BAD_INDEX;
#endif
}

/* ---- contents, a block at a time ------------------------------------------------------------------------------- */

/* Contents are stored by blocks, [blocks][RECSYS_HIDDEN][BLOCK]: the same component of neighbours lies side by side, and
 * one instruction computes with several contents. The last block is filled up with zeros.
 */
#define BLOCK RECSYS_BLOCK
#define BLOCK_NUMBERS ((size_t)RECSYS_HIDDEN * BLOCK)
#define NUM_BLOCKS ((RECSYS_NUM_CONTENTS + BLOCK - 1u) / BLOCK)
#define SLICE 8u /* components that are read at a time where they are not stored as floats */

static uint32_t size_of_block(uint32_t block)
{
    return block + 1u < NUM_BLOCKS ? BLOCK : RECSYS_NUM_CONTENTS - block * BLOCK;
}

/* Components [first, first + SLICE) of a block's contents, [SLICE][BLOCK]: where they lie, or in `room`. */
static const float *read_slice(uint32_t block, uint32_t first, float room[SLICE * BLOCK])
{
    const size_t start = block * BLOCK_NUMBERS + (size_t)first * BLOCK;
#if RECSYS_STORAGE == RECSYS_FLOAT32
    (void)room;
    return TABLE(float, contents) + start;
#else
    for (uint32_t j = 0; j < SLICE; j++) {
        for (uint32_t l = 0; l < BLOCK; l++) {
            room[j * BLOCK + l] = VALUE(contents, start + j * BLOCK + l, block * BLOCK + l);
        }
    }
    return room;
#endif
}

/* One content's vector. */
#if RECSYS_HEAD == RECSYS_HADAMARD || RECSYS_NUM_MOODS > 0 || RECSYS_EMBED == RECSYS_EMBED_REGRESSION
static void read_content(uint32_t content, float vector[RECSYS_HIDDEN])
{
    const size_t place = content / BLOCK * BLOCK_NUMBERS + content % BLOCK;

    for (uint32_t j = 0; j < RECSYS_HIDDEN; j++) {
        vector[j] = VALUE(contents, place + (size_t)j * BLOCK, content);
    }
}
#endif

/* x^T c over a slice, whose components lie so far apart. Always summed up in this order, so that equal contents tie. */
#define SLICE_PRODUCT(X, X_STRIDE, C, C_STRIDE) (PAIRS(X, X_STRIDE, C, C_STRIDE, 0) + PAIRS(X, X_STRIDE, C, C_STRIDE, 4))
#define PAIRS(X, X_STRIDE, C, C_STRIDE, J)                                                                             \
    ((TERM(X, X_STRIDE, C, C_STRIDE, J) + TERM(X, X_STRIDE, C, C_STRIDE, (J) + 1)) +                                   \
     (TERM(X, X_STRIDE, C, C_STRIDE, (J) + 2) + TERM(X, X_STRIDE, C, C_STRIDE, (J) + 3)))
#define TERM(X, X_STRIDE, C, C_STRIDE, J) ((X)[(J) * (X_STRIDE)] * (C)[(J) * (C_STRIDE)])

/* products += x^T c over a slice, for `count` vectors x, RECSYS_HIDDEN apart, and the contents of a block. */
#define DEFINE_ADD_SLICE(ATTRIBUTE, NAME)                                                                              \
    ATTRIBUTE static void NAME(const float *restrict vectors, uint32_t count, const float *restrict slice,             \
                               float *restrict products)                                                               \
    {                                                                                                                  \
        for (uint32_t i = 0; i < count; i++) {                                                                         \
            const float *x = vectors + (size_t)i * RECSYS_HIDDEN;                                                      \
            float *product = products + i * BLOCK;                                                                     \
            for (uint32_t l = 0; l < BLOCK; l++) {                                                                     \
                product[l] += SLICE_PRODUCT(x, 1, slice + l, BLOCK);                                                   \
            }                                                                                                          \
        }                                                                                                              \
    }

DEFINE_ADD_SLICE(, add_slice)

/* The same for processors with wider vectors, which GCC and clang let us ask for. The bits are the same too: AVX2 has no
 * fused multiply-add, and AVX-512 is only used where the compiler is told not to make any.
 */
#if defined(__GNUC__) && defined(__x86_64__) && !defined(RECSYS_PLAIN)
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#endif
DEFINE_ADD_SLICE(__attribute__((target("avx2"))), add_slice_avx2)
#if defined(__clang__) || defined(__STRICT_ANSI__)
DEFINE_ADD_SLICE(__attribute__((target("avx512f"))), add_slice_avx512)
#define WIDEST (__builtin_cpu_supports("avx512f") ? add_slice_avx512 : add_slice_avx2)
#else
#define WIDEST add_slice_avx2
#endif
#define ADD_SLICE (__builtin_cpu_supports("avx2") ? WIDEST : add_slice)
#else
#define ADD_SLICE add_slice
#endif

/* Inner products of `count` vectors, [count][RECSYS_HIDDEN], with the contents of a block, [count][BLOCK]. */
static void multiply(const float *vectors, uint32_t count, uint32_t block, float *products)
{
    float room[SLICE * BLOCK];

    memset(products, 0, (size_t)count * BLOCK * sizeof *products);
    for (uint32_t j = 0; j < RECSYS_HIDDEN; j += SLICE) {
        ADD_SLICE(vectors + j, count, read_slice(block, j, room), products);
    }
}

/* What a logit has besides the head: of popularity, and of the paths between a user of the table and the contents. */
typedef struct {
    const float *extra; /* what popularity counts for a user or a mood, and minus the level, [RECSYS_EXTRA] */
    uint32_t pair;      /* the next of the user's pairs; blocks are to come in rising order */
    uint32_t pairs_end;
} base;

#if RECSYS_NUM_PAIRS > 0
#define PAIRS_START(USER) ((USER) < RECSYS_NUM_USERS ? TABLE(uint32_t, pairs_start)[USER] : 0u)
#define PAIRS_END(USER) ((USER) < RECSYS_NUM_USERS ? TABLE(uint32_t, pairs_start)[(USER) + 1u] : 0u)
#else
#define PAIRS_START(USER) ((void)(USER), 0u)
#define PAIRS_END(USER) 0u
#endif

/* Add it to the logits of the next block's contents. */
static void add_base(base *of, uint32_t block, float *restrict logits)
{
    for (uint32_t j = 0; j < RECSYS_EXTRA; j += SLICE) {
        const size_t start = ((size_t)block * RECSYS_EXTRA + j) * BLOCK;
#if RECSYS_STORAGE == RECSYS_FLOAT32
        ADD_SLICE(of->extra + j, 1, TABLE(float, contents_extra) + start, logits);
#else
        float room[SLICE * BLOCK];

        for (uint32_t i = 0; i < SLICE * BLOCK; i++) {
            room[i] = EXTRA(contents, start + i);
        }
        ADD_SLICE(of->extra + j, 1, room, logits);
#endif
    }
#if RECSYS_NUM_PAIRS > 0
    for (; of->pair < of->pairs_end && TABLE(RECSYS_PLACE, pairs)[of->pair] / BLOCK == block; of->pair++) {
        logits[TABLE(RECSYS_PLACE, pairs)[of->pair] % BLOCK] += TABLE(float, pairs_logit)[of->pair];
    }
#endif
}

/* ---- ranking --------------------------------------------------------------------------------------------------- */

/* The best so far, as a heap whose root is the worst of them. */
typedef struct {
    uint32_t *contents;
    float *scores;
    uint32_t size;
    uint32_t capacity;
    const uint8_t *seen; /* contents to leave out, or NULL */
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

/* What a score must be above for a place among the best: a content that comes later loses against an equal score. */
static float floor_of(const heap *best)
{
    if (best->size < best->capacity) {
        return -INFINITY;
    }
    return best->capacity > 0 ? best->scores[0] : INFINITY;
}

/* Whether a content belongs among the best. False for NaN. */
static int enters(const heap *best, float score, uint32_t content)
{
    return score > floor_of(best) &&
           (best->seen == NULL || (best->seen[content / 8u] >> (content % 8u) & 1u) == 0);
}

/* Put a content among the best if it belongs there. Contents are to come in rising order. */
static void offer(heap *best, float score, uint32_t content)
{
    if (!enters(best, score, content)) {
        return;
    }
    if (best->size < best->capacity) {
        rise(best, score, content);
    } else {
        sink(best, best->size, score, content);
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
    heap found = {contents, best, 0, k, seen};

    for (uint32_t c = 0; c < RECSYS_NUM_CONTENTS; c++) {
        offer(&found, scores[c], c);
    }
    return sorted(&found);
}

/* ---- scoring --------------------------------------------------------------------------------------------------- */

#if RECSYS_HEAD == RECSYS_HADAMARD || RECSYS_NUM_MOODS > 0
#define UNITS 8u /* whose products are kept at a time */
#define STEP 2u  /* units that are added to a block's bounds before the next look at them */
#define FEW 4u   /* the most contents of a block that are worth a look one by one */

/* A head as somebody's function of a content: logit(c) = b' + base(c) + sum over units of w ReLU(M c + m), summed up in
 * this order. The units that can only raise a logit, since their w is not negative, come first.
 */
typedef struct {
    const float *weight; /* M, [units][RECSYS_HIDDEN] */
    const float *bias;   /* m, [units] */
    const float *outer;  /* w, [units] */
    float outer_bias;    /* b' */
    float length;        /* to which c is scaled first, 0 for its own */
    uint32_t units;
    uint32_t raising;
    base base;
} perceptron;

/* What the products with a block's contents are multiplied by, and their logits before any unit. */
static void begin_block(perceptron *of, uint32_t block, float *restrict scale, float *restrict logits)
{
    float room[SLICE * BLOCK], squares[BLOCK] = {0.0f};

    for (uint32_t j = 0; j < RECSYS_HIDDEN && of->length > 0.0f; j += SLICE) {
        const float *slice = read_slice(block, j, room);
        for (uint32_t l = 0; l < BLOCK; l++) {
            squares[l] += SLICE_PRODUCT(slice + l, BLOCK, slice + l, BLOCK);
        }
    }
    for (uint32_t l = 0; l < BLOCK; l++) {
        const float length = sqrtf(squares[l]);
        scale[l] = of->length > 0.0f ? of->length / (length < 1e-12f ? 1e-12f : length) : 1.0f;
        logits[l] = l < size_of_block(block) ? of->outer_bias : -INFINITY;
    }
    add_base(&of->base, block, logits);
}

static float add_unit(const perceptron *of, uint32_t unit, float product, float logit)
{
    const float hidden = product + of->bias[unit];

    return logit + of->outer[unit] * (hidden > 0.0f ? hidden : 0.0f);
}

/* Add units [first, last) to the logits of a block. */
static void add_units(const perceptron *of, uint32_t first, uint32_t last, uint32_t block, const float *restrict scale,
                      float *restrict logits)
{
    float products[UNITS * BLOCK];

    for (uint32_t k = first; k < last; k += UNITS) {
        const uint32_t count = last - k < UNITS ? last - k : UNITS;
        multiply(of->weight + (size_t)k * RECSYS_HIDDEN, count, block, products);
        for (uint32_t i = 0; i < count; i++) {
            for (uint32_t l = 0; l < BLOCK; l++) {
                logits[l] = add_unit(of, k + i, scale[l] * products[i * BLOCK + l], logits[l]);
            }
        }
    }
}

/* How many of a block may be among the best, but for what was seen. A loop without branches. */
static uint32_t count_above(const float *restrict bounds, float floor)
{
    uint32_t count = 0;

    for (uint32_t l = 0; l < BLOCK; l++) {
        count += bounds[l] > floor ? 1u : 0u;
    }
    return count;
}

/* Add the units from `first` on to the bound of one content, or as many as it takes to see that it is not among the best.
 */
static float lowered(const perceptron *of, uint32_t first, uint32_t content, float scale, float bound, const heap *best)
{
    float vector[RECSYS_HIDDEN];

    read_content(content, vector);
    for (uint32_t k = first; k < of->units && enters(best, bound, content); k++) {
        const float *weight = of->weight + (size_t)k * RECSYS_HIDDEN;
        float product = 0.0f;
        for (uint32_t j = 0; j < RECSYS_HIDDEN; j += SLICE) {
            product += SLICE_PRODUCT(weight + j, 1, vector + j, 1);
        }
        bound = add_unit(of, k, scale * product, bound);
    }
    return bound;
}

/* Logits of all contents. */
static void score_all(perceptron *of, float *scores)
{
    float scale[BLOCK], logits[BLOCK];

    for (uint32_t block = 0; block < NUM_BLOCKS; block++) {
        begin_block(of, block, scale, logits);
        add_units(of, 0, of->units, block, scale, logits);
        memcpy(scores + block * BLOCK, logits, size_of_block(block) * sizeof *logits);
    }
}

/* The best contents, the same as by their scores. Once its raising units are summed up, a logit can only become lower,
 * rounding included: it is a bound, and most contents are seen not to be among the best. The other units are added to
 * blocks with many hopefuls, then to the hopefuls alone.
 */
static uint32_t recommend(perceptron *of, heap *best)
{
    float scale[BLOCK], bounds[BLOCK];

    for (uint32_t block = 0; block < NUM_BLOCKS; block++) {
        uint32_t done = of->raising, left;

        begin_block(of, block, scale, bounds);
        add_units(of, 0, done, block, scale, bounds);
        while ((left = count_above(bounds, floor_of(best))) > FEW && done < of->units) {
            const uint32_t next = of->units - done < STEP ? of->units : done + STEP;
            add_units(of, done, next, block, scale, bounds);
            done = next;
        }
        for (uint32_t l = 0; left > 0 && l < size_of_block(block); l++) {
            if (enters(best, bounds[l], block * BLOCK + l)) {
                offer(best, lowered(of, done, block * BLOCK + l, scale[l], bounds[l], best), block * BLOCK + l);
            }
        }
    }
    return sorted(best);
}
#endif

#if RECSYS_HEAD == RECSYS_HADAMARD
DEFINE_AFFINE(project, RECSYS_HIDDEN, RECSYS_HIDDEN)

/* The head for a user. P_u u is known, and so is everything but c:
 * W (P_u u * (P_c c + p)) + b = (W diag(P_u u) P_c) c + (W diag(P_u u) p + b)
 */
static perceptron of_user(const float *restrict vector, uint32_t index, float *restrict weight, float *restrict bias)
{
    static const float zero[RECSYS_HIDDEN] = {0.0f};
    const perceptron of = {weight, bias, recsys_head_outer_weight, RECSYS_HEAD_BIAS, 0.0f,
                           RECSYS_HEAD_UNITS, RECSYS_HEAD_RAISING,
                           {vector + RECSYS_HIDDEN, PAIRS_START(index), PAIRS_END(index)}};
    float user[RECSYS_HIDDEN], row[RECSYS_HIDDEN];

    project(vector, recsys_head_user_weight, recsys_head_user_bias, user);
    for (uint32_t k = 0; k < RECSYS_HEAD_UNITS; k++) {
        bias[k] = recsys_head_inner_bias[k];
        for (uint32_t j = 0; j < RECSYS_HIDDEN; j++) {
            row[j] = recsys_head_inner_weight[k * RECSYS_HIDDEN + j] * user[j];
            bias[k] += row[j] * recsys_head_content_bias[j];
        }
        project(row, recsys_head_content_weight, zero, weight + k * RECSYS_HIDDEN);
    }
    return of;
}
#else
/* logit(c) = u^T c / sqrt(hidden) + b + base(c) */
static void score_block(const float *vector, base *rest, uint32_t block, float *restrict logits)
{
    multiply(vector, 1, block, logits);
    for (uint32_t l = 0; l < BLOCK; l++) {
        logits[l] = logits[l] * RECSYS_HEAD_SCALE + RECSYS_HEAD_BIAS;
    }
    add_base(rest, block, logits);
}
#endif

int recsys_score_user(const float vector[RECSYS_WIDTH], uint32_t user, float scores[RECSYS_NUM_CONTENTS])
{
#if RECSYS_HEAD == RECSYS_HADAMARD
    float weight[RECSYS_HEAD_UNITS * RECSYS_HIDDEN], bias[RECSYS_HEAD_UNITS];
    perceptron of;
#else
    base rest;
    float logits[BLOCK];
#endif

    if (!HAS_TABLES) {
        return RECSYS_NO_TABLES;
    }
#if RECSYS_HEAD == RECSYS_HADAMARD
    of = of_user(vector, user, weight, bias);
    score_all(&of, scores);
#else
    rest = (base){vector + RECSYS_HIDDEN, PAIRS_START(user), PAIRS_END(user)};
    for (uint32_t block = 0; block < NUM_BLOCKS; block++) {
        score_block(vector, &rest, block, logits);
        memcpy(scores + block * BLOCK, logits, size_of_block(block) * sizeof *logits);
    }
#endif
    return RECSYS_OK;
}

uint32_t recsys_recommend_user(const float vector[RECSYS_WIDTH], uint32_t user, const uint8_t *seen, uint32_t k,
                               uint32_t *contents, float *best)
{
    heap found = {contents, best, 0, k, seen};
#if RECSYS_HEAD == RECSYS_HADAMARD
    float weight[RECSYS_HEAD_UNITS * RECSYS_HIDDEN], bias[RECSYS_HEAD_UNITS];
    perceptron of;
#else
    base rest;
    float logits[BLOCK];
#endif

    if (!HAS_TABLES) {
        return 0;
    }
#if RECSYS_HEAD == RECSYS_HADAMARD
    of = of_user(vector, user, weight, bias);
    return recommend(&of, &found);
#else
    rest = (base){vector + RECSYS_HIDDEN, PAIRS_START(user), PAIRS_END(user)};
    for (uint32_t block = 0; block < NUM_BLOCKS; block++) {
        score_block(vector, &rest, block, logits);
        for (uint32_t l = 0; l < size_of_block(block); l++) {
            offer(&found, logits[l], block * BLOCK + l);
        }
    }
    return sorted(&found);
#endif
}

#if RECSYS_NUM_MOODS > 0
/* The mood head for a mood, whose half of the hidden layer is constant. */
static perceptron of_mood(uint32_t mood)
{
    const perceptron of = {recsys_mood_content_weight, recsys_moods + (size_t)mood * RECSYS_MOOD_UNITS,
                           recsys_mood_outer_weight, RECSYS_MOOD_BIAS, RECSYS_MOOD_LENGTH,
                           RECSYS_MOOD_UNITS, RECSYS_MOOD_RAISING,
                           {recsys_mood_gates + (size_t)mood * RECSYS_EXTRA, 0, 0}};

    return of;
}
#endif

int recsys_score_mood(uint32_t mood, float scores[RECSYS_NUM_CONTENTS])
{
#if RECSYS_NUM_MOODS > 0
    perceptron of;

    if (mood >= RECSYS_NUM_MOODS) {
        return RECSYS_BAD_INDEX;
    }
    if (!HAS_TABLES) {
        return RECSYS_NO_TABLES;
    }
    of = of_mood(mood);
    score_all(&of, scores);
    return RECSYS_OK;
#else
    (void)mood;
    (void)scores;
    return RECSYS_BAD_INDEX;
#endif
}

uint32_t recsys_recommend_mood(uint32_t mood, const uint8_t *seen, uint32_t k, uint32_t *contents, float *best)
{
#if RECSYS_NUM_MOODS > 0
    heap found = {contents, best, 0, k, seen};
    perceptron of;

    if (mood >= RECSYS_NUM_MOODS || !HAS_TABLES) {
        return 0;
    }
    of = of_mood(mood);
    return recommend(&of, &found);
#else
    (void)mood;
    (void)seen;
    (void)k;
    (void)contents;
    (void)best;
    return 0;
#endif
}

/* 1 / (1 + exp(-logit)), without overflow. */
float recsys_probability(float logit)
{
    const float shrunk = expf(-fabsf(logit));

    return logit < 0.0f ? shrunk / (1.0f + shrunk) : 1.0f / (1.0f + shrunk);
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
    float before[RECSYS_HIDDEN], mean[RECSYS_HIDDEN] = {0.0f};
    uint32_t count = 0;

    for (uint32_t i = 0; i < n; i++) {
        if (contents[i] < RECSYS_NUM_CONTENTS && (types == NULL ? 0u : types[i]) == type) {
            const size_t row = (size_t)layer * RECSYS_NUM_CONTENTS + contents[i];
            for (uint32_t j = 0; j < RECSYS_HIDDEN; j++) {
                mean[j] += VALUE(embed_states, row * RECSYS_HIDDEN + j, row);
            }
            count++;
        }
    }
    if (count > 0) {
        for (uint32_t j = 0; j < RECSYS_HIDDEN; j++) {
            mean[j] /= (float)count;
        }
        memcpy(before, total, sizeof before);
        user_layer(mean, weight, before, total);
    }
}

/* h + act(LayerNorm(W h + b + sum over types of W_t mean of the contents)), once a layer. */
uint32_t recsys_embed_user(const uint32_t *contents, const uint8_t *types, uint32_t n, float vector[RECSYS_WIDTH])
{
    uint32_t used = 0;

    memcpy(vector, recsys_embed_first, RECSYS_WIDTH * sizeof *vector);
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
DEFINE_AFFINE(regress, RECSYS_EMBED_INPUTS, RECSYS_WIDTH)

/* A regression on the mean of the contents' embeddings and log(1 + their number), less what is usual. */
uint32_t recsys_embed_user(const uint32_t *contents, const uint8_t *types, uint32_t n, float vector[RECSYS_WIDTH])
{
    float room[RECSYS_HIDDEN], inputs[RECSYS_EMBED_INPUTS] = {0.0f};
    uint32_t used = 0;

    (void)types;
    memcpy(vector, recsys_embed_usual, RECSYS_WIDTH * sizeof *vector);
    if (!HAS_TABLES) {
        return 0;
    }
    for (uint32_t i = 0; i < n; i++) {
        if (contents[i] < RECSYS_NUM_CONTENTS) {
            read_content(contents[i], room);
            for (uint32_t j = 0; j < RECSYS_HIDDEN; j++) {
                inputs[j] += room[j];
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
