/* What a transform of Winograd's algorithm works on, for the loops of every vector width. */

#define OUT_TILE 4               /* pixels of an output tile, each way */
#define SPAN (OUT_TILE + 2)      /* of an input tile */
#define POINTS (SPAN * SPAN) /* products that a tile takes */
#define CHUNK 64             /* tiles that are given out at once: all their pixels stay in the first cache */
#define ROOM (CHUNK + 16)    /* of a row of the stage: whole vectors run over its end */

typedef float quad __attribute__((vector_size(16)));
#if defined(__clang__)
#define SHUFFLE_QUADS(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
typedef int32_t quad_of_int __attribute__((vector_size(16)));
#define SHUFFLE_QUADS(a, b, ...) __builtin_shuffle(a, b, (quad_of_int){__VA_ARGS__})
#endif

enum transform { INPUT, INPUT_TRANSPOSED, OUTPUT, OUTPUT_TRANSPOSED, FILTER, FILTER_TRANSPOSED };
enum way { TAKE, PUT, ADD };

struct winograd;
/* From plain to points or back: `tiles` tiles, the first of which is the plane's number `first` and stands at points. */
typedef void (*winograd_work)(const struct winograd *, float *plain, float *points, int64_t first, int64_t tiles);

/* The same of a unit of a strided convolution: a row of tiles, an image or a filter (_cpu_polyphase_work.h). */
typedef void (*polyphase_work)(const struct winograd *, int64_t unit);

/* Tiles of images, `down` x `across` of them each, or filters. F(4x4,3x3): planes of [images][channels][height][width],
 * or filters of 3x3 side by side, as tiles are. Phases: [images][height][width][channels], or [images][4][4][channels]. */
struct winograd {
    struct job job;
    winograd_work work;
    polyphase_work each;
    float *plain, *points;
    int64_t images, channels, height, width, padding;
    int64_t down, across, apart; /* apart: from one point's matrix to the next, in numbers */
    int64_t tiles, chunks;       /* of a plane */
    int whole_planes;
};
