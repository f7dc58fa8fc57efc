# The program itself knows what may stand next.
azure completion fish | source
