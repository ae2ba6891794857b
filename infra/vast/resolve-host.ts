/**
 * Which machine a host alias stands for now: looked up in the market by label at connect time, so that `ssh`, rsync
 * and VS Code follow a run to its next machine, also when another computer replaced it.
 */
import { UserError } from "../../common/errors.ts";
import { readPin } from "../ssh/known-hosts.ts";
import type { SshTarget } from "../ssh/target.ts";
import { listOurs } from "./lifecycle.ts";
import type { ContractList } from "./shared-list.ts";
import { describeSituation, situationOf } from "./situation.ts";

/**
 * The current machine of `scope` under `name`, ready to be connected to.
 * @throws UserError VL_NOT_FOUND when there is none that runs; it says what there is instead.
 */
export async function resolveMachine(
  deps: { contracts: ContractList },
  of: { scope: string; name: string; stack: string; stateDir: string; identityFile: string | null },
): Promise<SshTarget> {
  const ours = (await listOurs(deps, of.scope, of.name)).sort((a, b) => a.id - b.id);
  const contract = ours.find((it) => situationOf(it) === "running" && it.addresses.length > 0);
  if (!contract) {
    const [other] = ours;
    throw new UserError("VL_NOT_FOUND", {
      what: `stack ${of.stack} has no running machine`,
      why: other ? `contract ${other.id} is ${describeSituation(situationOf(other))}` : "nothing is rented for it",
      hint: `vastlane up --stack ${of.stack}`,
    });
  }
  return {
    contractId: contract.id,
    user: contract.sshUser,
    addresses: contract.addresses,
    hostKeys: readPin(of.stateDir, contract.id),
    identityFile: of.identityFile,
  };
}
