/**
 * A copy of the training's state that stays as it is while training goes on and the copy is written. Its memory is
 * taken once and used for every save; it is shared with the thread that writes.
 */
import type { Tensor, TensorData, Tensors } from "../checkpoint/index.ts";

export interface Snapshot {
  /** Copies; what the call before gave changes with it. */
  take(tensors: Tensors): Tensors;
}

export function makeSnapshot(): Snapshot {
  const copies = new Map<string, Tensor>();
  return {
    take(tensors) {
      const taken: Tensors = {};
      for (const [name, tensor] of Object.entries(tensors)) {
        let copy = copies.get(name);
        if (copy?.data.length !== tensor.data.length || copy.dtype !== tensor.dtype) {
          copy = { dtype: tensor.dtype, shape: tensor.shape, data: sharedLike(tensor.data) };
          copies.set(name, copy);
        }
        copyInto(copy.data, tensor.data);
        taken[name] = copy;
      }
      return taken;
    },
  };
}

/** `group/name` for each tensor of each group. */
export function joinGroups(groups: Record<string, Tensors>): Tensors {
  return Object.fromEntries(
    Object.entries(groups).flatMap(([group, tensors]) =>
      Object.entries(tensors).map(([name, tensor]) => [`${group}/${name}`, tensor] as const),
    ),
  );
}

/** The tensors of one group, without its name. */
export function groupOf(tensors: Tensors, group: string): Tensors {
  const prefix = `${group}/`;
  return Object.fromEntries(
    Object.entries(tensors)
      .filter(([name]) => name.startsWith(prefix))
      .map(([name, tensor]) => [name.slice(prefix.length), tensor]),
  );
}

/** Copies numbers between arrays of the same type. */
export function copyInto(target: TensorData, source: TensorData): void {
  (target as { set(values: ArrayLike<unknown>): void }).set(source as ArrayLike<unknown>);
}

function sharedLike(data: TensorData): TensorData {
  const SameArray = data.constructor as new (memory: SharedArrayBuffer) => TensorData;
  return new SameArray(new SharedArrayBuffer(data.byteLength));
}
