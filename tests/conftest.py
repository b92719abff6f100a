import os

# Services are asked on this machine. A proxy of the environment's would look for them at itself.
os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"

# Applications that are made in this process leave no file behind unless they ask for one, also those that are made when
# their module is imported.
os.environ["SERVICEKIT_JOBS_URL"] = "memory://"
