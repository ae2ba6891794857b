/** The faults that are switched on. They are kept with the state, so a restart of the daemon does not lift them. */
import type { FaultRecord } from "../state/records.ts";
import type { Table } from "../state/store.ts";
import { FAULT_KINDS, type FaultName } from "./kinds.ts";

export interface Faults {
  add(kind: FaultName, options: { count?: number; seconds?: number; params: Record<string, unknown> }): FaultRecord;
  /** The first active fault of `kind` that suits; one of its uses is spent. */
  take(kind: FaultName, suits?: (params: Record<string, unknown>) => boolean): Record<string, unknown> | undefined;
  /** The same without spending a use. */
  active(kind: FaultName): Record<string, unknown> | undefined;
  list(): FaultRecord[];
  /** Removes all faults, or all of one kind. Returns how many. */
  clear(kind?: string): number;
}

export function createFaults(table: Table<FaultRecord>, now: () => number, nextId: () => number): Faults {
  function alive(): FaultRecord[] {
    const time = now();
    return table.values().filter((fault) => {
      if (fault.until === null || fault.until > time) return true;
      table.remove(fault.id);
      return false;
    });
  }

  return {
    add(kind, { count, seconds, params }) {
      const isOnce = FAULT_KINDS[kind].lasts === "once" && seconds === undefined;
      const fault: FaultRecord = {
        id: nextId(),
        kind,
        count: count ?? (isOnce ? 1 : null),
        until: seconds === undefined ? null : now() + seconds,
        params,
      };
      table.save(fault.id, fault);
      return fault;
    },
    take(kind, suits = () => true) {
      const fault = alive().find((one) => one.kind === kind && suits(one.params));
      if (!fault) return undefined;
      if (fault.count !== null) {
        fault.count -= 1;
        if (fault.count <= 0) table.remove(fault.id);
        else table.save(fault.id, fault);
      }
      return fault.params;
    },
    active: (kind) => alive().find((one) => one.kind === kind)?.params,
    list: alive,
    clear(kind) {
      const gone = table.values().filter((fault) => kind === undefined || fault.kind === kind);
      for (const fault of gone) table.remove(fault.id);
      return gone.length;
    },
  };
}
