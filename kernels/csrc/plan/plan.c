/* Plans: an update's steps as one array of whole numbers, run from C without going through Python.
 *
 * gankit/cpu/plan/emit.py writes them. A plan is a row of steps, each a matrix product (gemm/) or a set of
 * elementwise instructions and sums over one space of rows x columns. Memory is named by slots, whose addresses
 * are given anew at every run. The writer vouches for sizes, as the callers of the other ops do.
 *
 * The instructions of a space run tile by tile: a tile's intermediate results, its registers, stay in the cache and
 * never become tensors. A register is a tile of numbers, one number for each of its rows, one for each of its
 * columns, or a single one. How a space is cut into tiles stands in the plan, so threads change no bit of a result.
 */

#include "common/blocks.h"
#include "common/extension.h"
#include "common/thread_pool.h"
#include "gemm/gemm.h"
#include "plan/numbers.h"
#include "plan/opcodes.h"

#include <math.h>

#define AT_LEVEL "plan/level.h"
#include "common/each_level.h"

static const tile_runner *const tile_runners[] = BY_LEVEL(tiles);

enum { STEP_GEMM, STEP_TILES };
enum { TILES_TYPE = 2, TILES_ROWS, TILES_COLUMNS, TILES_HIGH, TILES_WIDE, TILES_VIEWS, TILES_CODE, TILES_PARTS,
       TILES_SCRATCH, TILES_HEAD };
enum { VIEW_SHAPE, VIEW_PLACE, VIEW_OFFSET, VIEW_DOWN, VIEW_ALONG, VIEW_TYPE, VIEW_WORDS };
enum { PART_SHAPE, PART_SLOT, PART_OFFSET, PART_STRIDE, PART_TYPE, PART_WORDS };
enum { IN_SCRATCH = -1, IN_PARTIAL = -2 };

#define MOST_VIEWS 512
#define MOST_PARTS 64
#define MOST_THREADS 256

struct tiles {
    struct job job;
    const int64_t *step, *views, *code;
    char *const *slots;
    char *parts[MOST_PARTS];
    tile_runner run;
    int64_t across; /* tiles side by side */
};

/* Memory that is kept from run to run. */
struct kept {
    char *start;
    size_t size;
};

static char *room(struct kept *kept, size_t size)
{
    if (kept->size < size) {
        free(kept->start);
        kept->start = aligned_alloc(64, (size + 63) / 64 * 64);
        kept->size = kept->start ? size : 0;
    }
    return kept->start;
}

static struct kept tile_memory[MOST_THREADS], part_memory; /* the GIL guards them, so a plan holds it */

static int64_t blocks_of_part(const struct tiles *w, int64_t shape, int64_t *width)
{
    const int64_t *s = w->step;
    int64_t high = blocks_of(s[TILES_ROWS], s[TILES_HIGH]);
    *width = shape == SHAPE_COLUMNS ? s[TILES_COLUMNS] : shape == SHAPE_ROWS ? s[TILES_ROWS] : 1;
    return shape == SHAPE_COLUMNS ? high : shape == SHAPE_ROWS ? w->across : high * w->across;
}

/* Where register v of the tile at (row, column) lies. */
static struct view place(const struct tiles *w, const int64_t *v, char *own, int64_t row, int64_t column, int64_t item)
{
    const int64_t *s = w->step;
    const int64_t shape = v[VIEW_SHAPE], size = s[TILES_TYPE] == F64 ? 8 : 4;
    struct view found = {NULL, s[TILES_WIDE], 1, shape, s[TILES_TYPE], size};
    if (v[VIEW_PLACE] == IN_SCRATCH)
        found.p = own + v[VIEW_OFFSET] * size;
    else if (v[VIEW_PLACE] <= IN_PARTIAL) {
        int64_t width, at = 0;
        blocks_of_part(w, shape, &width);
        if (shape == SHAPE_COLUMNS)
            at = row / s[TILES_HIGH] * width + column;
        else if (shape == SHAPE_ROWS)
            at = column / s[TILES_WIDE] * width + row;
        else
            at = item;
        found.p = w->parts[IN_PARTIAL - v[VIEW_PLACE]] + at * size;
    } else {
        found.type = v[VIEW_TYPE];
        found.size = size_of(found.type);
        found.ld = v[VIEW_DOWN];
        found.along = v[VIEW_ALONG];
        found.p = w->slots[v[VIEW_PLACE]] + v[VIEW_OFFSET] + (row * found.ld + column * found.along) * found.size;
    }
    return found;
}

static void run_tiles(const struct job *job, int64_t begin, int64_t end)
{
    const struct tiles *w = (const struct tiles *)job;
    const int64_t *s = w->step;
    struct view views[MOST_VIEWS];
    char *own = tile_memory[pool_rank ? pool_rank() : 0].start;
    for (int64_t item = begin; item < end; item++) {
        int64_t row = item / w->across * s[TILES_HIGH], column = item % w->across * s[TILES_WIDE];
        int64_t rows = least(s[TILES_HIGH], s[TILES_ROWS] - row), columns = least(s[TILES_WIDE], s[TILES_COLUMNS] - column);
        for (int64_t v = 0; v < s[TILES_VIEWS]; v++)
            views[v] = place(w, w->views + v * VIEW_WORDS, own, row, column, item);
        for (int64_t v = 0; v < s[TILES_VIEWS]; v++)
            if (w->views[v * VIEW_WORDS + VIEW_PLACE] == IN_SCRATCH)
                views[v].ld = columns;
        w->run(w->code, s[TILES_CODE], views, rows, columns);
    }
}

static void add_parts(const struct tiles *w, const int64_t *part, const char *found)
{
    int64_t width, blocks = blocks_of_part(w, part[PART_SHAPE], &width), type = part[PART_TYPE];
    char *to = w->slots[part[PART_SLOT]] + part[PART_OFFSET];
    for (int64_t j = 0; j < width; j++) {
        double sum = 0;
        for (int64_t b = 0; b < blocks; b++)
            sum += w->step[TILES_TYPE] == F64 ? ((const double *)(const void *)found)[b * width + j]
                                                   : (double)((const float *)(const void *)found)[b * width + j];
        char *p = to + j * part[PART_STRIDE] * size_of(type);
        if (type == F64)
            *(double *)(void *)p = sum;
        else if (type == F32)
            *(float *)(void *)p = (float)sum;
        else
            *(uint16_t *)(void *)p = narrow_bf16((float)sum);
    }
}

static int step_tiles(const int64_t *s, char *const *slots, int64_t threads)
{
    struct tiles w = {{run_tiles, 0}, s, s + TILES_HEAD, NULL, slots, {0}, NULL, blocks_of(s[TILES_COLUMNS], s[TILES_WIDE])};
    const int64_t size = s[TILES_TYPE] == F64 ? 8 : 4;
    w.code = w.views + s[TILES_VIEWS] * VIEW_WORDS;
    const int64_t *parts = w.code + s[TILES_CODE] * INSTRUCTION;
    w.run = tile_runners[current_level][s[TILES_TYPE]];
    w.job.items = blocks_of(s[TILES_ROWS], s[TILES_HIGH]) * w.across;
    size_t total = 0;
    int64_t width;
    for (int64_t k = 0; k < s[TILES_PARTS]; k++)
        total += (size_t)(blocks_of_part(&w, parts[k * PART_WORDS + PART_SHAPE], &width) * width * size + 63) / 64 * 64;
    char *at = room(&part_memory, total + 64);
    if (!at)
        return 0;
    for (int64_t k = 0; k < s[TILES_PARTS]; k++) {
        w.parts[k] = at;
        at += (blocks_of_part(&w, parts[k * PART_WORDS + PART_SHAPE], &width) * width * size + 63) / 64 * 64;
    }
    threads = least(threads, MOST_THREADS);
    for (int64_t t = 0; t < threads; t++)
        if (!room(&tile_memory[t], (size_t)(s[TILES_SCRATCH] * size) + 64))
            return 0;
    run_job(&w.job, s[TILES_ROWS] * s[TILES_COLUMNS] * size * s[TILES_CODE], threads);
    for (int64_t k = 0; k < s[TILES_PARTS]; k++)
        add_parts(&w, parts + k * PART_WORDS, w.parts[k]);
    return 1;
}

/* Operands of a product: slot, offset in bytes, strides of rows and columns, type. */
static int step_gemm(const int64_t *s, char *const *slots, int64_t threads)
{
    struct gemm g = {
        .m = s[2], .n = s[3], .k = s[4], .compute = s[5], .accumulate = s[6],
        .a = slots[s[7]] + s[8], .a_row = s[9], .a_col = s[10], .a_type = s[11],
        .b = slots[s[12]] + s[13], .b_row = s[14], .b_col = s[15], .b_type = s[16],
        .c = slots[s[17]] + s[18], .c_row = s[19], .c_type = s[20],
        .bias = s[21] < 0 ? NULL : slots[s[21]] + s[22], .bias_type = s[23],
    };
    return gemm_run(&g, threads);
}

static PyObject *cpu_run_plan(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    struct reader from = {args, count};
    const int64_t *code = address(&from);
    int64_t words = whole(&from);
    char *const *slots = address(&from);
    int64_t threads = whole(&from);
    if (!read_all(&from))
        return NULL;
    for (const int64_t *s = code; s < code + words; s += s[1])
        if (s[0] == STEP_TILES && (s[TILES_VIEWS] > MOST_VIEWS || s[TILES_PARTS] > MOST_PARTS))
            return PyErr_Format(PyExc_ValueError, "a group has more than %d registers or %d sums", MOST_VIEWS, MOST_PARTS);
    for (const int64_t *s = code; s < code + words; s += s[1])
        if (!(s[0] == STEP_GEMM ? step_gemm(s, slots, threads) : step_tiles(s, slots, threads)))
            return PyErr_NoMemory();
    Py_RETURN_NONE;
}

static PyObject *cpu_opcodes(PyObject *self, PyObject *unused)
{
    PyObject *codes = PyDict_New();
#define ENTER(name)                                                          \
    if (codes) {                                                             \
        PyObject *code = PyLong_FromLong(OP_##name);                         \
        if (!code || PyDict_SetItemString(codes, #name, code) < 0)           \
            Py_CLEAR(codes);                                                 \
        Py_XDECREF(code);                                                    \
    }
    OPCODES(ENTER)
#undef ENTER
    return codes;
}

METHODS({FAST(run_plan), "run_plan(code, words, slots, threads)"},
        {"opcodes", cpu_opcodes, METH_NOARGS, "The numbers of a plan's instructions, by name."})
CONSTANTS({"STEP_GEMM", STEP_GEMM}, {"STEP_TILES", STEP_TILES}, {"SHAPE_TILE", SHAPE_TILE}, {"SHAPE_ROWS", SHAPE_ROWS},
          {"SHAPE_COLUMNS", SHAPE_COLUMNS}, {"SHAPE_SCALAR", SHAPE_SCALAR}, {"IN_SCRATCH", IN_SCRATCH}, {"IN_PARTIAL", IN_PARTIAL},
          {"F64", F64}, {"F32", F32}, {"BF16", BF16}, {"F16", F16}, {"I64", I64}, {"BOOL", BOOL})
