/* What a transform of F(4x4,2x2) on the four phases of a strided convolution works on, at every vector width. */

#define PHASE_TILE 4                                     /* pixels of an output tile, each way */
#define PHASE_SPAN (PHASE_TILE + 1)                      /* pixels of one phase that it takes */
#define PHASE_POINTS (PHASE_SPAN * PHASE_SPAN)           /* products that a tile takes of each phase */
#define PHASE_LINE 16                                    /* channels are whole lines of so many */
#define PHASE_WINDOW (2 * PHASE_SPAN)                    /* pixels of the input that a tile takes, each way */

struct polyphase;
/* From plain to points or back: the unit-th row of tiles, image or filter. */
typedef void (*polyphase_work)(const struct polyphase *, int64_t unit);

/* Tiles of [images][height][width][channels], `down` and `across` of them an image, or filters [images][4][4][channels].
 * points: [PHASE_POINTS], `apart` numbers apart, of [tiles or filters][phases][channels]. */
struct polyphase {
    struct job job;
    polyphase_work work;
    float *plain, *points;
    int64_t images, channels, height, width, padding;
    int64_t down, across, apart;
};
