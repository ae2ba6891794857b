/** Rented machines as people see them: whose they are, what they cost, what they do. Pure. */
import { parseLabel } from "./label.ts";
import type { Scopes } from "./scopes.ts";
import { billsGpu, type Situation, situationOf } from "./situation.ts";
import type { Contract } from "./wire.ts";

export interface MachineView {
  contractId: number;
  /** Stack and machine name; null when the machine was not rented by vastlane. */
  stack: string | null;
  name: string | null;
  /** `ours`: a stack of this project here. `foreign`: vastlane's, from another clone or computer. `other`: not vastlane's. */
  owner: "ours" | "foreign" | "other";
  gpu: string;
  geolocation: string;
  situation: Situation;
  /** USD per hour now: GPUs count only while they bill, the disk always. */
  pricePerHourNow: number;
  pricePerHourRunning: number;
  diskPricePerMonth: number;
  ageSeconds: number;
  /** An upper estimate: the running price from rent until now; of a machine that still loads, its disk. */
  costUsd: number;
  label: string | null;
}

export function viewOf(contract: Contract, scopes: Scopes, nowS: number): MachineView {
  const label = parseLabel(contract.label);
  const known = label ? scopes[label.scope] : undefined;
  const situation = situationOf(contract);
  const running = contract.gpuPricePerHour + contract.diskPricePerHour;
  const ageSeconds = Math.max(0, nowS - contract.startedAt);
  return {
    contractId: contract.id,
    stack: known?.stack ?? null,
    name: label?.name ?? null,
    owner: known ? "ours" : label ? "foreign" : "other",
    gpu: `${contract.gpuCount}x ${contract.gpuName}`,
    geolocation: contract.geolocation,
    situation,
    pricePerHourNow: billsGpu(contract) ? running : contract.diskPricePerHour,
    pricePerHourRunning: running,
    diskPricePerMonth: contract.diskPricePerHour * 720,
    ageSeconds,
    costUsd: ((situation === "pending" ? contract.diskPricePerHour : running) * ageSeconds) / 3600,
    label: contract.label,
  };
}
