/* The sizes of F(4x4,2x2) on the four phases of a strided convolution. */

#define PHASE_TILE 4                                     /* pixels of an output tile, each way */
#define PHASE_SPAN (PHASE_TILE + 1)                      /* pixels of one phase that it takes */
#define PHASE_POINTS (PHASE_SPAN * PHASE_SPAN)           /* products that a tile takes of each phase */
#define PHASE_LINE 16                                    /* channels are whole lines of so many */
#define PHASE_WINDOW (2 * PHASE_SPAN)                    /* pixels of the input that a tile takes, each way */

/* points: [PHASE_POINTS] of [tiles or filters][phases][channels]. */
