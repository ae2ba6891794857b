/** Work on a list by a few at a time; the first failure stops the others before it is thrown. */

/**
 * `worker` is called once for each of the `count` workers (or fewer, for a short list) and gives what handles one
 * item. It is given a signal that ends with the caller's, or as soon as one worker fails.
 */
export async function inParallel<T>(
  count: number,
  items: readonly T[],
  signal: AbortSignal | undefined,
  worker: (signal: AbortSignal) => (item: T) => Promise<void>,
): Promise<void> {
  signal?.throwIfAborted();
  const stop = new AbortController();
  const onAbort = () => stop.abort(signal?.reason);
  signal?.addEventListener("abort", onAbort, { once: true });
  let next = 0;
  let failure: { error: unknown } | undefined;
  const work = async () => {
    const handle = worker(stop.signal);
    while (next < items.length && !stop.signal.aborted) {
      const item = items[next] as T;
      next += 1;
      try {
        await handle(item);
      } catch (error) {
        failure ??= { error };
        stop.abort(error);
      }
    }
  };
  try {
    await Promise.all(Array.from({ length: Math.min(count, items.length) }, work));
  } finally {
    signal?.removeEventListener("abort", onAbort);
  }
  signal?.throwIfAborted();
  if (failure) throw failure.error;
}
