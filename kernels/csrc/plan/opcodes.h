/* What a plan's numbers mean to the tiles of every vector width. */
#ifndef GANKIT_OPCODES_H
#define GANKIT_OPCODES_H

#include "common/numbers.h"

/* The instructions, by the number of their operands; gankit/cpu/plan/emit.py has them in the same order. */
#define OPCODES(X)                                                                                                \
    X(COPY) X(NEG) X(ABS) X(SIGN) X(EXP) X(TANH) X(SIGMOID) X(LOG) X(LOG1P) X(SQRT) X(RSQRT) X(RECIPROCAL)        \
    X(ADD) X(SUB) X(MUL) X(DIV) X(MAX) X(MIN) X(EQ) X(NE) X(LT) X(LE) X(GT) X(GE)                                 \
    X(CHOOSE)                                                                                                     \
    X(LOAD) X(STORE)                                                                                              \
    X(SUM_ROWS) X(SUM_COLUMNS) X(MAX_COLUMNS) X(SUM_ALL)
#define AS_CODE(name) OP_##name,
enum {
    OPCODES(AS_CODE)
    OP_UNARY_END = OP_ADD,
    OP_BINARY_END = OP_CHOOSE,
    OP_TERNARY_END = OP_LOAD,
    OP_TRANSFER_END = OP_SUM_ROWS,
};
#undef AS_CODE

enum { SHAPE_TILE, SHAPE_ROWS, SHAPE_COLUMNS, SHAPE_SCALAR };
#define INSTRUCTION 5 /* words: op, result, operands */

/* A register of one tile, or memory: rows `ld` elements apart, columns `along` (1 for registers). */
struct view {
    char *p;
    int64_t ld, along, shape, type, size;
};

typedef void (*tile_runner)(const int64_t *code, int64_t count, const struct view *views, int64_t rows, int64_t columns);

#endif
