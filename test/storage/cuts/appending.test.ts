/** Every cut while records are appended: one by one, several at a time, on a disk that is full. */
import { cutAll } from './cut-suite.ts'
import { appending, batches, filling } from './workloads.ts'

cutAll('appending', [appending, batches, filling], 4500)
