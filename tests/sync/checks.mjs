// What the libraries that receivers use make of our messages. Reads one JSON document from stdin, writes one.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const require = createRequire(new URL("../clients/package.json", import.meta.url));
const aws4 = require("aws4");
const { Webhook } = require("standardwebhooks");

const asked = JSON.parse(readFileSync(0, "utf8"));
const answer = {};
if (asked.webhook) {
  const { secret, headers, body } = asked.webhook;
  answer.webhook = new Webhook(secret).verify(body, headers);
}
if (asked.object) {
  const { host, path, body, date, region, key, secret } = asked.object;
  const signed = aws4.sign(
    {
      service: "s3",
      method: "PUT",
      host,
      path,
      body,
      region,
      headers: { "X-Amz-Date": date, "X-Amz-Content-Sha256": asked.object.digest },
      extraHeadersToIgnore: { "content-length": true, "content-type": true },
    },
    { accessKeyId: key, secretAccessKey: secret },
  );
  answer.object = signed.headers.Authorization;
}
process.stdout.write(JSON.stringify(answer));
