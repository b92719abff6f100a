import react from '@vitejs/plugin-react';
import vue from '@vitejs/plugin-vue';
import { defineConfig } from 'vite';

// The guide shows its React component as part of a module; a module of its own has to export it.
const exportComponent = {
  name: 'export-component',
  enforce: 'pre',
  transform: (code, id) => (id.endsWith('job_status.jsx') ? `${code}\nexport default JobStatus;\n` : null),
};

export default defineConfig({
  base: './',
  plugins: [exportComponent, react(), vue()],
  // The components lie among the guide's snippets, from where no node_modules can be seen.
  resolve: { dedupe: ['react', 'vue'] },
  build: { rollupOptions: { input: ['react.html', 'vue.html'] } },
});
