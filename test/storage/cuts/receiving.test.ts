/** Every cut while a range comes from another node. */
import { cutAll } from './cut-suite.ts'
import { receivingOne, receivingTwo } from './transfers.ts'

cutAll('receiving', [receivingOne, receivingTwo], 3000)
