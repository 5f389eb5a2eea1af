BOT_NAME = "anyspider"
SPIDER_MODULES = ["anyspider.spiders"]
ADDONS = {"concurcrawl.Addon": 500}
TELNETCONSOLE_ENABLED = False
REMOTE_CONTROL_ENABLED = False
RETRY_TIMES = 1
LOG_LEVEL = "INFO"
