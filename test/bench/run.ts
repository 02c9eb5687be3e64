/** `npm run bench -- NAME`: measures and prints a table; never passes or fails by the clock. */
const BENCHES: Record<string, () => Promise<string>> = {
  kv: async () => (await import('./kv.ts')).benchKv(),
  gossip: async () => (await import('./gossip.ts')).benchGossip(process.argv.slice(3)),
  storage: async () => (await import('./storage.ts')).benchStorage(process.argv.slice(3)),
  levels: async () => (await import('./levels.ts')).benchLevels(),
  'anti-entropy': async () => (await import('./anti-entropy.ts')).benchAntiEntropy(),
  transfer: async () => (await import('./transfer.ts')).benchTransfer(),
  hot: async () => (await import('./hot.ts')).benchHot(process.argv.slice(3)),
  planner: async () => (await import('./planner.ts')).benchPlanner(),
  sim: async () => (await import('./sim.ts')).benchSim()
}

const name = process.argv[2]
if (name === undefined || !(name in BENCHES)) {
  console.error(`npm run bench -- NAME, where NAME is one of: ${Object.keys(BENCHES).join(', ')}`)
  process.exit(2)
}
console.log(await BENCHES[name]())
process.exit(0)
