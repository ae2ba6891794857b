/** The Pulumi program: reads the stack's configuration, calls the parts, exports outputs. Decides nothing. */
import * as pulumi from "@pulumi/pulumi";
import { Deploy } from "./deployment.ts";
import { announceCost, planProjectRun, prepareShipment, readProject, withRunKeys } from "./program.ts";
import { storeResources } from "./storage/resources.ts";
import { StackGuard } from "./vast/guard.ts";
import { VastInstance } from "./vast/instance.ts";

const project = readProject();
const { config, keys, stack } = project;
// Before any rent: what is wrong with the project or the store must cost nothing.
const prepared = prepareShipment(project);
const run = await planProjectRun(project, prepared);

const guard = new StackGuard("guard", {
  market: config.market,
  organization: pulumi.getOrganization(),
  project: pulumi.getProject(),
  stack,
});
const store = await storeResources(config, stack, run);
const shipment = withRunKeys(prepared, store, run);
const machines = run.machineNames.map((name) => new VastInstance(name, { guard, config, keys, after: store.before }));
for (const [i, machineName] of run.machineNames.entries()) {
  const machine = machines[i];
  if (machine) new Deploy(`${machineName}-deploy`, { machine, machineName, ...shipment });
}
await announceCost(project, run, guard.scope);

const [main] = machines;
export const ssh = `ssh ${config.ssh.host.replace("{stack}", stack)}`;
export const pricePerHour = pulumi
  .all(machines.map((it) => it.pricePerHour))
  .apply((all) => all.reduce((a, b) => a + b, 0));
export const contractId = main?.contractId;
export const gpu = main?.gpuName;
export const runId = run.runId;
export const runStatus = run.status;
export const bucket = store.bucket;
