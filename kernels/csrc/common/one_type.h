/* One element type at one vector width: what every op needs, and then the op's own loops.
 *
 * A sum runs over LANES accumulators in index order and adds them pairwise, so its bits depend neither on
 * the vector width nor on the number of threads. A tail is copied to a padded vector: no second formula.
 */

#define WIDTH ((int64_t)(sizeof(VEC) / sizeof(ACC)))
#define CHAINS (LANES / WIDTH)
#define REST(n, i) ((size_t)((n) - (i)) * sizeof(ELEM))

INLINE double FN(add_lanes)(const VEC *chains)
{
    ACC lanes[LANES];
    memcpy(lanes, chains, sizeof lanes);
    for (int64_t half = LANES / 2; half > 0; half /= 2)
        for (int64_t j = 0; j < half; j++)
            lanes[j] += lanes[j + half];
    return (double)lanes[0];
}

#include AT_TYPE

#undef WIDTH
#undef CHAINS
#undef REST
#undef FN
#undef ELEM
#undef ACC
#undef VEC
#undef LANES
#undef LOAD
#undef STORE
#undef STREAM
#undef LOAD_BYTES
#undef MAGNITUDE
#undef SELECT
