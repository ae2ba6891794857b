/**
 * What a push is asked to do: plain data, handed from the Pulumi program to the push script as JSON. It holds no
 * secret (names only) and nothing that differs between two computers with the same project, so that it may lie in
 * a stack's state.
 */
import { Bug } from "../../common/errors.ts";
import type { RunSettings } from "../../common/run-settings.ts";
import type { SshTarget } from "../ssh/target.ts";
import type { StoreConfig } from "../storage/access.ts";

/** What the agent is to run; becomes `run.json` on the machine. No price: it moves, and would be a new request. */
export interface RunSpec extends RunSettings {
  contractId: number;
  /** Fresh starts of the run, this one included: another number restarts the agent, which then reads the record. */
  generation: number;
}

export interface PushRequest {
  target: SshTarget;
  run: RunSpec;
  /** Folders and files of the project. */
  sync: string[];
  /** Paths of the built agent and of the public modules (`vastlane/<name>`) by name, relative to the project. */
  bundles: { agent: string; modules: Record<string, string> };
  /** Python requirements, relative to the project; used when the file is there. */
  requirements: string | null;
  /** A file of the project or a shell command, run once on the machine. */
  setup: string | null;
  /** Names of secrets; their values are taken where the push runs. */
  secretNames: string[];
  /** As configured; its keys are looked up where the push runs. Null: checkpoints stay on the machine's disk. */
  store: StoreConfig | null;
  /** USD per hour, for the agent's account of what was spent. */
  pricePerHour: number;
}

/** The environment variable that carries the request to the push script. */
export const REQUEST_VARIABLE = "VASTLANE_PUSH";

/**
 * Set when stdin carries a JSON object of secret values: those of Pulumi's secret configuration, and the run's keys for
 * the store where the program made them.
 */
export const STDIN_VARIABLE = "VASTLANE_PUSH_STDIN";

/** @throws Bug when the text is not such a request: both sides are ours. */
export function parseRequest(text: string): PushRequest {
  const request = JSON.parse(text) as PushRequest;
  const isWhole =
    Array.isArray(request.target?.addresses) &&
    typeof request.target.contractId === "number" &&
    typeof request.run?.runId === "string" &&
    Array.isArray(request.sync) &&
    typeof request.bundles?.agent === "string" &&
    Array.isArray(request.secretNames);
  if (!isWhole) throw new Bug("the push request lacks fields");
  return request;
}
