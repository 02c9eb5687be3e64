/** Every cut while files are rewritten, hinted, and two logs share a store. */
import { cutAll } from './cut-suite.ts'
import { hinting, interleaving, rewriting } from './workloads.ts'

cutAll('housekeeping', [hinting, interleaving, rewriting], 7500)
