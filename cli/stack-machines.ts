/** The machines of one stack as the market lists them now. */
import { listOurs } from "../infra/vast/lifecycle.ts";
import { type MachineView, viewOf } from "../infra/vast/machines.ts";
import { readScopes } from "../infra/vast/scopes.ts";
import type { Io } from "./command.ts";
import { type MarketSession, scopeOfStack } from "./session.ts";

export async function stackMachines(session: MarketSession, io: Io): Promise<MachineView[]> {
  const scope = await scopeOfStack(session, io);
  if (scope === undefined) return [];
  const scopes = readScopes(session.stateDir);
  const contracts = (await listOurs(session.deps, scope)).sort((a, b) => a.id - b.id);
  return contracts.map((contract) => viewOf(contract, scopes, session.deps.api.nowS()));
}
