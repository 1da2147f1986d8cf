// Executes state machines with aws-local-stepfunctions: statemachines/elsewhere_run_test.go gives it
// {"lambda": URL, "trials": [{"definition", "input"}]}, and it answers how each went. It knows no
// arn:aws:states:::lambda:invoke, so tasks are handlers that invoke the functions at that URL.
'use strict';

// It wants Node 22 for this alone.
Promise.withResolvers ??= () => {
  const made = {};
  made.promise = new Promise((resolve, reject) => Object.assign(made, { resolve, reject }));
  return made;
};

const { StateMachine } = require('aws-local-stepfunctions');

// invoke answers as the optimised integration does, and names errors as it does.
async function invoke(lambda, parameters) {
  const url = `${lambda}/2015-03-31/functions/${encodeURIComponent(parameters.FunctionName)}/invocations`;
  const response = await fetch(url, { method: 'POST', body: JSON.stringify(parameters.Payload) });
  const text = await response.text();
  const fails = (name, message) => { throw Object.assign(new Error(message), { name }); };
  if (!response.ok) fails(`Lambda.${response.headers.get('x-amzn-errortype')}`, JSON.parse(text).message);
  if (response.headers.has('x-amz-function-error')) fails(JSON.parse(text).errorType, text);
  return { ExecutedVersion: '$LATEST', Payload: JSON.parse(text), StatusCode: response.status };
}

async function execute(lambda, { definition, input }) {
  const handlers = {}, waits = {}, retries = {};
  for (const [name, state] of Object.entries(definition.States)) {
    if (state.Type === 'Task') handlers[name] = (parameters) => invoke(lambda, parameters);
    if (state.Type === 'Wait') waits[name] = 0;
    if (state.Retry) retries[name] = 0;
  }
  // Validating is slow, and asl-validator has done it.
  const machine = new StateMachine(definition, { validationOptions: { noValidate: true } });
  const { result, eventLogs } = machine.run(input, {
    overrides: { taskResourceLocalHandlers: handlers, waitTimeOverrides: waits, retryIntervalOverrides: retries },
  });
  result.catch(() => {}); // it is told by the log
  const end = { path: [], error: '', cause: '' };
  for await (const event of eventLogs) {
    if (event.type === 'StateEntered') end.path.push(event.state.name);
    if (event.type === 'ExecutionSucceeded') end.output = event.output;
    if (event.type === 'ExecutionFailed') Object.assign(end, { error: event.Error, cause: event.Cause });
  }
  return end;
}

async function main() {
  let text = '';
  for await (const chunk of process.stdin) text += chunk;
  const { lambda, trials } = JSON.parse(text);
  const ends = await Promise.all(trials.map((trial) => execute(lambda, trial)));
  process.stdout.write(JSON.stringify(ends), () => process.exit(0)); // timers of tasks that timed out are left
}

main().catch((err) => { console.error(err); process.exit(1); });
