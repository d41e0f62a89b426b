/* The one-dimensional transforms of Winograd's minimal filtering F(4,3), at one vector width.
 *
 * Included by winograd/loops.h. Lavin & Gray 2016, "Fast Algorithms for Convolutional Neural Networks", section 4: four
 * outputs of a filter g of three taps over six inputs d are AT ((G g) * (BT d)), with a product for each of the points
 * 0, P, -P, Q, -Q and infinity. Here are the three matrices and, for the gradients, their transposes: bt and b, [6] to
 * [6]; at, [6] to [4], and a, [4] to [6]; g, [3] to [6], and gt, [6] to [3].
 *
 * The paper has 1 and 2 for P and Q. With points whose sizes lie around 1 float32's rounding errors are half as large
 * (docs/engine.md), and these need few bits: bt and at are exact.
 */

typedef LV(vf) LV(lanes);

#define P 0.75f
#define Q 1.5f
#define PP (P * P)
#define QQ (Q * Q)
#define AT_P (1 / (2 * PP * (PP - QQ))) /* 1 / the product of the other points' distances from P */
#define AT_Q (1 / (2 * QQ * (QQ - PP)))

INLINE void LV(bt)(const LV(lanes) *d, LV(lanes) *to)
{
    LV(lanes) even_p = d[4] - QQ * d[2], odd_p = P * (d[3] - QQ * d[1]);
    LV(lanes) even_q = d[4] - PP * d[2], odd_q = Q * (d[3] - PP * d[1]);
    to[0] = PP * QQ * d[0] - (PP + QQ) * d[2] + d[4];
    to[1] = even_p + odd_p;
    to[2] = even_p - odd_p;
    to[3] = even_q + odd_q;
    to[4] = even_q - odd_q;
    to[5] = PP * QQ * d[1] - (PP + QQ) * d[3] + d[5];
}

INLINE void LV(b)(const LV(lanes) *v, LV(lanes) *to)
{
    LV(lanes) even_p = v[1] + v[2], odd_p = P * (v[1] - v[2]);
    LV(lanes) even_q = v[3] + v[4], odd_q = Q * (v[3] - v[4]);
    to[0] = PP * QQ * v[0];
    to[1] = PP * QQ * v[5] - (QQ * odd_p + PP * odd_q);
    to[2] = -(PP + QQ) * v[0] - (QQ * even_p + PP * even_q);
    to[3] = odd_p + odd_q - (PP + QQ) * v[5];
    to[4] = v[0] + (even_p + even_q);
    to[5] = v[5];
}

INLINE void LV(at)(const LV(lanes) *v, LV(lanes) *to)
{
    LV(lanes) even_p = v[1] + v[2], odd_p = P * (v[1] - v[2]);
    LV(lanes) even_q = v[3] + v[4], odd_q = Q * (v[3] - v[4]);
    to[0] = v[0] + (even_p + even_q);
    to[1] = odd_p + odd_q;
    to[2] = PP * even_p + QQ * even_q;
    to[3] = PP * odd_p + QQ * odd_q + v[5];
}

INLINE void LV(a)(const LV(lanes) *y, LV(lanes) *to)
{
    LV(lanes) even_p = y[0] + PP * y[2], odd_p = P * (y[1] + PP * y[3]);
    LV(lanes) even_q = y[0] + QQ * y[2], odd_q = Q * (y[1] + QQ * y[3]);
    to[0] = y[0];
    to[1] = even_p + odd_p;
    to[2] = even_p - odd_p;
    to[3] = even_q + odd_q;
    to[4] = even_q - odd_q;
    to[5] = y[3];
}

INLINE void LV(g)(const LV(lanes) *g, LV(lanes) *to)
{
    LV(lanes) even_p = AT_P * g[0] + AT_P * PP * g[2], odd_p = AT_P * P * g[1];
    LV(lanes) even_q = AT_Q * g[0] + AT_Q * QQ * g[2], odd_q = AT_Q * Q * g[1];
    to[0] = 1 / (PP * QQ) * g[0];
    to[1] = even_p + odd_p;
    to[2] = even_p - odd_p;
    to[3] = even_q + odd_q;
    to[4] = even_q - odd_q;
    to[5] = g[2];
}

INLINE void LV(gt)(const LV(lanes) *u, LV(lanes) *to)
{
    LV(lanes) even_p = AT_P * (u[1] + u[2]), even_q = AT_Q * (u[3] + u[4]);
    to[0] = 1 / (PP * QQ) * u[0] + (even_p + even_q);
    to[1] = AT_P * P * (u[1] - u[2]) + AT_Q * Q * (u[3] - u[4]);
    to[2] = PP * even_p + QQ * even_q + u[5];
}

#undef P
#undef Q
#undef PP
#undef QQ
#undef AT_P
#undef AT_Q
