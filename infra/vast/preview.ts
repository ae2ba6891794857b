/** What a preview says about money: which machine would be rented now, at what price. Never a resource input. */
import type { StackConfig } from "../config.ts";
import { parseLabel, requestHashOf } from "./label.ts";
import { allOffers, chooseAdoption, type Deps, findOffers, listOurs } from "./lifecycle.ts";
import { noOfferError } from "./no-offer.ts";
import type { RentRequest } from "./offers.ts";
import { decideRepair } from "./reconcile.ts";
import { describeSituation, situationOf } from "./situation.ts";
import type { Contract } from "./wire.ts";

/** The part of the configuration that asks the market for a machine. */
export function requestOf(config: StackConfig): RentRequest {
  return { gpu: config.gpu, rental: config.rental, diskGB: config.machine.diskGB, minHours: config.budget.maxHours };
}

/**
 * One line per machine name: what is kept, or what would be rented.
 * @throws UserError VL_NO_OFFER when something would have to be rented and nothing fits.
 */
export async function previewMachines(
  deps: Pick<Deps, "api" | "contracts">,
  config: StackConfig,
  names: readonly string[],
  scope: string | undefined,
): Promise<string[]> {
  const request = requestOf(config);
  const { image, diskGB, env } = config.machine;
  const requestHash = requestHashOf({ image, diskGB, env, type: config.rental.type });
  const ours = scope === undefined ? [] : await listOurs(deps, scope);
  const lines: string[] = [];
  const missing: string[] = [];
  for (const name of names) {
    const named = ours.filter(({ label }) => parseLabel(label)?.name === name);
    const { keep } = chooseAdoption(named, { requestHash, request });
    for (const contract of named) {
      if (contract !== keep)
        lines.push(`${describe(name, contract)}; ENDS with all on its disk, as it is not what is asked for`);
    }
    if (keep) lines.push(`${describe(name, keep)}${repairText(keep, config)}`);
    else missing.push(name);
  }
  for (const contract of ours) {
    const name = parseLabel(contract.label)?.name ?? "?";
    if (!names.includes(name))
      lines.push(`${describe(name, contract)}; ENDS after a last checkpoint, as nothing asks for it`);
  }
  if (missing.length === 0) return lines;
  const plan = await findOffers(deps.api, request);
  if (plan.candidates.length < missing.length)
    throw noOfferError(request, await allOffers(deps.api, request), undefined, missing.length);
  for (const [i, name] of missing.entries()) {
    const candidate = plan.candidates[i];
    if (!candidate) continue;
    const { offer, bidPerHour, pricePerHour } = candidate;
    const kind = bidPerHour === null ? "on demand" : `bid $${bidPerHour.toFixed(3)} + disk`;
    lines.push(
      `${name}: would rent ${offer.gpuCount}x ${offer.gpuName} in ${offer.geolocation} at $${pricePerHour.toFixed(3)}/h (${kind}; best of ${plan.candidates.length} that fit)`,
    );
  }
  return lines;
}

/** What `up` would do to a machine that is there but does not run. */
function repairText(contract: Contract, { rental, checkpoint }: StackConfig): string {
  const hasStore = checkpoint.store !== "none";
  const repair = decideRepair(situationOf(contract), contract, rental, hasStore);
  if (repair.act === "keep") return "";
  if (repair.act === "hold") return `; left as it is (${repair.why})`;
  const lost = hasStore ? "what is not in the store is lost" : "all on its disk is lost";
  if (repair.act === "replace") return `; would be REPLACED, ${lost}`;
  const bid = repair.act === "raise" ? ` with its bid raised to $${repair.bidPerHour.toFixed(3)}/h` : "";
  const taken =
    rental.onOutbid === "wait" || (rental.onOutbid === "auto" && !hasStore) ? "left as it is" : `replaced, and ${lost}`;
  return `; would be started${bid}, or, if its GPUs are taken, ${taken}`;
}

function describe(name: string, contract: Contract): string {
  const price = (contract.gpuPricePerHour + contract.diskPricePerHour).toFixed(3);
  const machine = `${contract.gpuCount}x ${contract.gpuName}`;
  return `${name}: contract ${contract.id}, ${machine}, ${describeSituation(situationOf(contract))}, $${price}/h`;
}
