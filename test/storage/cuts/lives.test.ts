/** Every cut of stores that are killed and started, and of ranges that are dropped. */
import { cutAll } from './cut-suite.ts'
import { dropping, droppingTwo, killing } from './workloads.ts'

cutAll('lives', [dropping, droppingTwo, killing], 5000)
