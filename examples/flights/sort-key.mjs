// Delay and row in one number: sorting the numbers sorts by delay, ties by row. A delay of 32 bits and a row of 22 make
// less than 2^53 either side of zero, which a double holds exactly.

const ROWS_LIMIT = 2 ** 22

/**
 * @param {number} delay
 * @param {number} row
 */
export const sortKey = (delay, row) => delay * ROWS_LIMIT + row

/** @param {number} key */
export const rowOf = key => key - Math.floor(key / ROWS_LIMIT) * ROWS_LIMIT
