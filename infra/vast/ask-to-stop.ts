/**
 * Before a machine ends: the agent is asked for a last checkpoint and to stop its command, within a bound.
 * A machine that does not answer is ended all the same; what it has not saved, the market could take at any moment.
 */
import { messageOf } from "../../common/errors.ts";
import type { Log } from "../../common/log.ts";
import { runSsh } from "../ssh/shell.ts";
import { situationOf } from "./situation.ts";
import type { Contract } from "./wire.ts";

/** No agent, no script: nothing to ask. */
const STOP = (seconds: number) =>
  `s="\${VASTLANE_WORKSPACE:-/workspace}/.vastlane/stop.sh"; if [ -f "$s" ]; then sh "$s" --grace ${seconds}; fi`;

export async function askToStop(
  contract: Contract,
  known: { contractId: number | null; hostKeys: string[]; identityFile: string | null },
  graceSeconds: number,
  log: Log,
): Promise<void> {
  const isReachable =
    contract.id === known.contractId && known.hostKeys.length > 0 && situationOf(contract) === "running";
  if (!isReachable || contract.addresses.length === 0) return;
  const target = {
    contractId: contract.id,
    user: contract.sshUser,
    addresses: contract.addresses,
    hostKeys: known.hostKeys,
    identityFile: known.identityFile,
  };
  try {
    await runSsh(target, STOP(graceSeconds), { timeoutMs: (graceSeconds + 10) * 1000, connectTimeoutSeconds: 5 });
    log(`contract ${contract.id}: the agent has stopped its command`);
  } catch (error) {
    log(
      `contract ${contract.id}: no last checkpoint, the machine does not answer (${messageOf(error).split("\n")[0]})`,
    );
  }
}
