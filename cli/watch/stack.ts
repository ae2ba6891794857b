/** A stack as the watcher looks at it: the market's list, the lease and the run record in the store, and `up`. */
import { UserError } from "../../common/errors.ts";
import { describeRun, isClosed } from "../../common/run-record.ts";
import { machineNames } from "../../infra/config.ts";
import { isNamed } from "../../infra/vast/lifecycle.ts";
import { forgetScope } from "../../infra/vast/scopes.ts";
import { situationOf } from "../../infra/vast/situation.ts";
import type { Contract } from "../../infra/vast/wire.ts";
import { readLease, readRunRecord } from "../../runtime/lease/index.ts";
import type { LeaseRecord } from "../../runtime/lease/types.ts";
import type { OpenStore } from "../../runtime/store/index.ts";
import type { Io } from "../command.ts";
import { bringUp, openOperation } from "../operation.ts";
import { openPlace, placeOfRun } from "../run-store.ts";
import { type MarketSession, openMarket, scopeInState, scopeOfStack } from "../session.ts";
import type { MachineLook, StackLook, Watched } from "./loop.ts";
import type { LeaseSign } from "./pulse.ts";

/** Contracts of an account, read once for all stacks that look at the same time. Undefined: could not be read. */
export type Listing = (session: MarketSession) => Promise<Contract[] | undefined>;

/** A listing that asks each market once in `everyMs`, less a little, so that a due look is never answered by an old list. */
export function sharedListing(io: Io, everyMs: number): Listing {
  const known = new Map<string, { at: number; list: Promise<Contract[] | undefined> }>();
  return ({ market, deps }) => {
    const key = `${market.url} ${market.key.reveal()}`;
    const before = known.get(key);
    if (before && io.clock.now() - before.at < everyMs * 0.8) return before.list;
    const list = deps.contracts.fresh().catch(() => undefined);
    known.set(key, { at: io.clock.now(), list });
    return list;
  };
}

/** What tells of progress while `up` runs. */
export type Progress = (stack: string, line: string) => void;

export function watchedStack(stack: string, io: Io, list: Listing, progress: Progress): Watched {
  let store: { access: string; open: OpenStore } | undefined;
  let contracts: Contract[] | undefined;

  function storeOf({ config, root }: MarketSession): OpenStore | undefined {
    const place = placeOfRun({ stack, config, root }, io);
    if (!place) return undefined;
    const key = JSON.stringify(place.access);
    if (store?.access !== key) {
      store?.open.close();
      store = { access: key, open: openPlace(place, { retryMs: 3000, requestMs: 3000 }) };
    }
    return store.open;
  }

  return {
    stack,
    async look({ fresh }): Promise<StackLook | undefined> {
      const session = await openMarket(stack, io, { skipAccount: true });
      const scope = await scopeOfStack(session, io);
      if (scope === undefined) return undefined;
      if (fresh) contracts = await list(session);
      const signs = await readSigns(() => storeOf(session));
      return {
        hasCommand: session.config.experiment.command !== null,
        closed: signs.closed,
        machines: machineNames(session.config).map((name) => machineLook(name, scope, contracts, signs.lease)),
      };
    },
    async up() {
      const session = await openMarket(stack, io, { skipAccount: true });
      const scope = await scopeOfStack(session, io);
      // Destroyed by somebody on another computer: to bring it back would be a machine that nobody knows of.
      if ((await scopeInState(session, io)) === undefined) {
        if (scope !== undefined) forgetScope(session.stateDir, scope);
        return;
      }
      await bringUp(await openOperation(stack, io), (line) => progress(stack, line));
    },
  };
}

interface Signs {
  lease: MachineLook["lease"];
  closed: string | undefined;
}

async function readSigns(open: () => OpenStore | undefined): Promise<Signs> {
  try {
    const store = open();
    if (!store) return { lease: "no-store", closed: undefined };
    const [lease, run] = await Promise.all([readLease(store), readRunRecord(store)]);
    return {
      lease: lease?.record && signOf(lease.record, lease.ageSeconds),
      closed: run && isClosed(run.status) ? describeRun(run) : undefined,
    };
  } catch (error) {
    if (error instanceof UserError) return { lease: "unread", closed: undefined };
    throw error;
  }
}

function signOf({ released, holder, heartbeat }: LeaseRecord, ageSeconds: number): LeaseSign {
  return {
    ageSeconds,
    isReleased: released,
    contractId: holder.contractId,
    step: heartbeat?.step ?? null,
    state: heartbeat?.state ?? null,
  };
}

/** Of several contracts under one name (a repair that was cut off) the one that runs counts. */
function machineLook(
  name: string,
  scope: string,
  contracts: readonly Contract[] | undefined,
  lease: MachineLook["lease"],
): MachineLook {
  if (contracts === undefined) return { name, situation: undefined, contractId: undefined, lease };
  const ours = contracts.filter((contract) => isNamed(contract, scope, name)).sort((a, b) => a.id - b.id);
  const contract = ours.find((it) => situationOf(it) === "running") ?? ours[0];
  return { name, situation: situationOf(contract), contractId: contract?.id, lease };
}
