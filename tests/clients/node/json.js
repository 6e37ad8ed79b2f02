// How a script writes each value of the array on standard input.
const values = JSON.parse(require('fs').readFileSync(0, 'utf8'))
process.stdout.write(JSON.stringify(values.map((value) => JSON.stringify(value))))
