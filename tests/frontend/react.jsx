import { createRoot } from 'react-dom/client';
import JobStatus from '../guide/snippets/job_status.jsx';

const root = createRoot(document.querySelector('main'));
const show = (jobId) => root.render(<JobStatus jobId={jobId} />);

show(new URLSearchParams(location.search).get('job'));
window.show = show;
window.unmount = () => root.unmount();
