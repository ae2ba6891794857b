/** `vastlane status`: every machine of the account, ours with their stack, and what each costs. */
import { type MachineView, viewOf } from "../../infra/vast/machines.ts";
import { readScopes } from "../../infra/vast/scopes.ts";
import { describeSituation } from "../../infra/vast/situation.ts";
import type { Contract } from "../../infra/vast/wire.ts";
import { type Command, EXIT, type Io } from "../command.ts";
import { defaultStack, readStackConfig } from "../operation.ts";
import { readOptions } from "../options.ts";
import { type MarketSession, openMarket } from "../session.ts";
import { foreignSshCommand, sshCommand } from "../ssh-command.ts";
import { duration, renderTable, usd } from "../table.ts";

export const command: Command = {
  name: "status",
  summary: "list the account's machines: GPU, price, state, age, cost, SSH command",
  usage: `vastlane status [--stack NAME] [--all] [--json]

  --stack NAME  whose market and account to look at (default: $VASTLANE_STACK, or local)
  --all         also stopped machines; their disks bill until they are destroyed
  --json        { market, accountId, creditUsd, billingPerHour, machines: [...] }`,
  run: (args, io) => status(args, io),
};

type Row = MachineView & { ssh: string | null };

async function status(args: string[], io: Io): Promise<number> {
  const { values } = readOptions("status", args, {
    stack: { type: "string" },
    all: { type: "boolean" },
    json: { type: "boolean" },
  });
  const session = await openMarket(values.stack ?? defaultStack(io.env), io);
  const scopes = readScopes(session.stateDir);
  const contracts = await session.deps.contracts.fresh();
  const all = contracts.map((contract) => {
    const view = viewOf(contract, scopes, session.deps.api.nowS());
    return { ...view, ssh: sshOf(view, contract, session) };
  });
  const isHalted = ({ situation }: Row) => situation === "stopped" || situation === "outbid";
  const shown = values.all ? all : all.filter((it) => !isHalted(it));
  const billingPerHour = all.reduce((sum, it) => sum + it.pricePerHourNow, 0);
  if (values.json) {
    io.stdout(
      `${JSON.stringify({ market: session.market.url, accountId: session.account.id, creditUsd: session.account.creditUsd, billingPerHour, machines: shown })}\n`,
    );
    return EXIT.done;
  }
  print(shown, all.filter(isHalted), billingPerHour, values.all === true, session, io);
  return EXIT.done;
}

function print(
  shown: Row[],
  halted: Row[],
  billingPerHour: number,
  isAll: boolean,
  session: MarketSession,
  io: Io,
): void {
  if (shown.length > 0) {
    io.stdout(
      renderTable<Row>(
        [
          { title: "CONTRACT", value: (it) => String(it.contractId) },
          { title: "STACK", value: stackText },
          { title: "GPU", value: (it) => it.gpu },
          { title: "STATE", value: (it) => describeSituation(it.situation).replace(/ \(.*/, "") },
          { title: "$/h", value: (it) => usd(it.pricePerHourNow), align: "right" },
          { title: "AGE", value: (it) => duration(it.ageSeconds), align: "right" },
          { title: "MAX COST", value: (it) => usd(it.costUsd), align: "right" },
        ],
        shown,
      ),
    );
    for (const it of shown) if (it.ssh !== null) io.stdout(`  ${it.contractId}: ${it.ssh}\n`);
  } else io.stdout("No machine runs.\n");
  if (halted.length > 0) {
    const perMonth = halted.reduce((sum, it) => sum + it.diskPricePerMonth, 0);
    io.stdout(
      `${halted.length} stopped machine(s)${isAll ? "" : " (see --all)"}: their disks bill ${usd(perMonth)} per month until destroyed.\n`,
    );
  }
  io.stdout(`Billing now: ${usd(billingPerHour)}/h. Credit: ${usd(session.account.creditUsd)}.\n`);
}

function stackText(it: MachineView): string {
  if (it.owner === "ours") return it.name === "main" ? (it.stack ?? "?") : `${it.stack}/${it.name}`;
  return it.owner === "foreign" ? "(vastlane elsewhere)" : "-";
}

/** Null for what cannot be reached now. */
function sshOf(it: MachineView, contract: Contract, session: MarketSession): string | null {
  if (it.situation !== "running") return null;
  if (it.owner !== "ours" || it.stack === null || it.name === null) return foreignSshCommand(contract);
  return sshCommand(configOf(it.stack, session), { stack: it.stack, name: it.name, stateDir: session.stateDir });
}

function configOf(stack: string, session: MarketSession) {
  try {
    return stack === session.stack ? session.config : readStackConfig(session.root, stack);
  } catch {
    return undefined; // its file is gone or wrong, its machine is not
  }
}
