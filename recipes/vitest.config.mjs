// Vitest runs only what is written for it: the other tests are for Node's own runner.
export default { test: { include: ['**/*.vitest.mjs'] } }
