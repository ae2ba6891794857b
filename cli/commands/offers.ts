/** `vastlane offers`: the table that a rent is chosen from, best first, with what each costs per useful hour. */

import { UserError } from "../../common/errors.ts";
import { allOffers, findOffers } from "../../infra/vast/lifecycle.ts";
import { noOfferError } from "../../infra/vast/no-offer.ts";
import type { Candidate } from "../../infra/vast/offers.ts";
import { requestOf } from "../../infra/vast/preview.ts";
import { type Command, EXIT } from "../command.ts";
import { defaultStack } from "../operation.ts";
import { readOptions } from "../options.ts";
import { openMarket } from "../session.ts";
import { renderTable, usd } from "../table.ts";

export const command: Command = {
  name: "offers",
  summary: "show what the market offers for the stack, ranked by expected cost",
  usage: `vastlane offers [--stack NAME] [-n COUNT] [--json]

  --stack NAME  whose configuration asks (default: $VASTLANE_STACK, or local)
  -n COUNT      rows to show (default 15)
  --json        { offersSeen, candidates: [...], rejections: [...] }`,
  async run(args, io) {
    const { values } = readOptions("offers", args, {
      stack: { type: "string" },
      count: { type: "string", short: "n" },
      json: { type: "boolean" },
    });
    const count = Number(values.count ?? 15);
    if (!Number.isInteger(count) || count < 1)
      throw new UserError("VL_USAGE", {
        what: `-n wants a whole number above 0, not ${values.count}`,
        hint: "vastlane offers -n 30",
      });
    const session = await openMarket(values.stack ?? defaultStack(io.env), io);
    const request = requestOf(session.config);
    const plan = await findOffers(session.deps.api, request);
    if (values.json) {
      io.stdout(`${JSON.stringify({ ...plan, candidates: plan.candidates.slice(0, count) })}\n`);
      return EXIT.done;
    }
    if (plan.candidates.length === 0) throw noOfferError(request, await allOffers(session.deps.api, request));
    io.stdout(
      renderTable<Candidate>(
        [
          { title: "OFFER", value: ({ offer }) => String(offer.id) },
          { title: "GPU", value: ({ offer }) => `${offer.gpuCount}x ${offer.gpuName}` },
          { title: "WHERE", value: ({ offer }) => offer.geolocation },
          { title: "REL", value: ({ offer }) => `${(offer.reliability * 100).toFixed(1)}%`, align: "right" },
          { title: "Mb/s", value: ({ offer }) => offer.downMbps.toFixed(0), align: "right" },
          {
            title: "BID",
            value: ({ bidPerHour }) => (bidPerHour === null ? "fixed" : usd(bidPerHour)),
            align: "right",
          },
          { title: "$/h", value: ({ pricePerHour }) => usd(pricePerHour), align: "right" },
          { title: "$/useful h", value: ({ costPerUsefulHour }) => usd(costPerUsefulHour), align: "right" },
        ],
        plan.candidates.slice(0, count),
      ),
    );
    io.stdout(
      `${plan.candidates.length} fit; the first would be rented.\n$/useful h counts traffic, reliability and interruptions in.\n`,
    );
    return EXIT.done;
  },
};
