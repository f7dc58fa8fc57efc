# The program itself knows what may stand next.
source <(azure completion bash)
