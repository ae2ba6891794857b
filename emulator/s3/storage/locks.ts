/** One at a time for each name, in the order in which they came. */
export interface Locks {
  run<T>(name: string, work: () => Promise<T>): Promise<T>;
}

export function createLocks(): Locks {
  const last = new Map<string, Promise<unknown>>();
  return {
    run(name, work) {
      const result = (last.get(name) ?? Promise.resolve()).then(work, work);
      const settled = result.catch(() => {});
      last.set(name, settled);
      settled.then(() => last.get(name) === settled && last.delete(name));
      return result;
    },
  };
}
