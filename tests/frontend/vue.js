import { createApp } from 'vue';
import JobStatus from '../guide/snippets/job_status.vue';

const app = createApp(JobStatus, { jobId: new URLSearchParams(location.search).get('job') });

app.mount('main');
window.unmount = () => app.unmount();
