/**
 * What one side of a session still has to send: jobs that make messages only when the stream can take them, so that a
 * slow reader costs a list of jobs and not their content (failures 32).
 */
type Job<T> = Iterable<T> | AsyncIterable<T>

export class Outbox<T> implements AsyncIterable<T> {
  readonly #jobs: Job<T>[] = []
  #ended = false
  #wake: () => void = () => {}

  add(...jobs: Job<T>[]): void {
    this.#jobs.push(...jobs)
    this.#wake()
  }

  /** No more jobs come; those added are still sent. */
  end(): void {
    this.#ended = true
    this.#wake()
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T> {
    for (;;) {
      const job = this.#jobs.shift()
      if (job !== undefined) yield* job
      else if (this.#ended) return
      else {
        await new Promise<void>(resolve => {
          this.#wake = resolve
        })
      }
    }
  }
}
