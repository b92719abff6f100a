// Follow a stream with an EventSource that nobody closes. Node ends when the service has told it to stop.
import { EventSource as PackageEventSource } from 'eventsource';

const [which, url] = process.argv.slice(2);
const Client = which === 'package' ? PackageEventSource : globalThis.EventSource;
const source = new Client(url);

source.onopen = () => console.log('open');
source.onmessage = (event) => console.log(`message ${event.lastEventId} ${JSON.parse(event.data).status}`);
source.addEventListener('log', (event) => console.log(`log ${JSON.parse(event.data).text}`));
source.onerror = () => {
  const isClosed = source.readyState === Client.CLOSED;
  console.log(isClosed ? 'closed' : 'reconnecting');
  if (isClosed) clearInterval(awake);
};

// Node's own EventSource does not keep it awake while it waits to reconnect.
const awake = setInterval(() => {}, 1000);
