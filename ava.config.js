export default {
  files: ['__test__/**/*.spec.ts'],
  extensions: { ts: 'module' },
  workerThreads: false,
  nodeArguments: ['--import=tsx', '--expose-gc'],
  timeout: '2m',
}
