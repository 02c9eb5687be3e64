#!/usr/bin/env node
// The runtime check. Plain old JavaScript and no static import on purpose: these lines must run on any Node, to say in
// one sentence what is wrong instead of failing on syntax that an old one does not know.
const OLDEST_NODE = 22
const running = process.versions.node

if (Number(running.split('.')[0]) < OLDEST_NODE) {
  process.stderr.write(
    'coterie: this is Node ' +
      running +
      ', but coterie needs Node ' +
      OLDEST_NODE +
      ' or newer: install one from https://nodejs.org and run the command again.\n'
  )
  process.exitCode = 2
} else {
  import('node:module')
    .then(module => {
      // A node that is restarted takes its place again in half the processor time.
      if (module.enableCompileCache) module.enableCompileCache()
      return import('../src/cli/main.ts')
    })
    .then(cli => cli.main())
}
