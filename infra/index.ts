/** The Pulumi program: reads the stack's configuration, calls the parts, exports outputs. Decides nothing. */
import * as pulumi from "@pulumi/pulumi";
import { announceCost, readProject } from "./program.ts";
import { StackGuard } from "./vast/guard.ts";
import { VastInstance } from "./vast/instance.ts";

const project = readProject();
const { config, keys, stack } = project;

const guard = new StackGuard("guard", {
  market: config.market,
  organization: pulumi.getOrganization(),
  project: pulumi.getProject(),
  stack,
});
const machines = project.machineNames.map((name) => new VastInstance(name, { guard, config, keys }));
await announceCost(project, guard.scope);

const [main] = machines;
export const ssh = `ssh ${config.ssh.host.replace("{stack}", stack)}`;
export const pricePerHour = pulumi
  .all(machines.map((it) => it.pricePerHour))
  .apply((all) => all.reduce((a, b) => a + b, 0));
export const contractId = main?.contractId;
export const gpu = main?.gpuName;
export const runId = `${stack}/main`;
