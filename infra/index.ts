/** The Pulumi program: reads the stack's configuration, calls the parts, exports outputs. Decides nothing. */
import * as pulumi from "@pulumi/pulumi";
import { Deploy } from "./deploy/index.ts";
import { announceCost, prepareShipment, readProject } from "./program.ts";
import { StackGuard } from "./vast/guard.ts";
import { VastInstance } from "./vast/instance.ts";

const project = readProject();
const { config, keys, stack } = project;
const shipment = prepareShipment(project); // before any rent: what is wrong with the project must cost nothing

const guard = new StackGuard("guard", {
  market: config.market,
  organization: pulumi.getOrganization(),
  project: pulumi.getProject(),
  stack,
});
const machines = project.machineNames.map((name) => new VastInstance(name, { guard, config, keys }));
for (const [i, machine] of machines.entries())
  new Deploy(`${project.machineNames[i]}-deploy`, { machine, ...shipment });
await announceCost(project, guard.scope);

const [main] = machines;
export const ssh = `ssh ${config.ssh.host.replace("{stack}", stack)}`;
export const pricePerHour = pulumi
  .all(machines.map((it) => it.pricePerHour))
  .apply((all) => all.reduce((a, b) => a + b, 0));
export const contractId = main?.contractId;
export const gpu = main?.gpuName;
export const runId = shipment.spec.request.run.runId;
